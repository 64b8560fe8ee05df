"""What a comparison leaves in its folder; the page is made from these files alone.

    plan.json              which runs were meant to be, with what settings, on what machine
    runs/NAME.json         one finished run: its score after each epoch, its times
    pictures.npz           the test pictures, identities and cameras
    features/NAME.npz      what a model makes of them: features for retrieval, embeddings that the loss sees

Everything is written to a temporary file and then renamed, so a file that is there is whole.
"""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

UNTRAINED = "untrained"


class Key(NamedTuple):
    """One run: a loss, a seed, and batches of P identities with K pictures each."""

    loss: str
    seed: int
    per_batch: int
    per_identity: int

    @property
    def name(self):
        return f"{self.loss}-{self.per_batch}x{self.per_identity}-seed{self.seed}"


@dataclass(frozen=True)
class Plan:
    data: str
    losses: dict  # {"drsl": "DRSL", ...}: in the order of the page, and what a reader calls them
    seeds: list
    batch: list  # [P, K]
    epochs: int
    epochs_wanted: int  # more than epochs where the machine is too slow for all of them
    steps: int  # in one epoch
    ratios: list = field(
        default_factory=list
    )  # [[P, K], ...] of the imbalance panel, batch among them
    ratio_losses: list = field(default_factory=list)
    ratio_seeds: list = field(default_factory=list)
    settings: dict = field(default_factory=dict)  # what all runs share, as the page tells it
    options: dict = field(default_factory=dict)  # {"drsl": {"delta": 0.5}, ...}
    machine: dict = field(default_factory=dict)
    junk_ids: list = field(default_factory=lambda: [-1])
    distractor_ids: list = field(default_factory=lambda: [0])
    asked: dict = field(default_factory=dict)  # asked otherwise, it is another comparison
    cost: list = field(default_factory=list)  # seconds of an epoch, an evaluation, a start

    def comparison_keys(self):
        """Seed by seed: after an interruption every loss has been tried equally often, or almost."""
        return [Key(loss, seed, *self.batch) for seed in self.seeds for loss in self.losses]

    def ratio_keys(self):
        return [
            Key(loss, seed, *ratio)
            for seed in self.ratio_seeds
            for ratio in self.ratios
            for loss in self.ratio_losses
        ]

    def keys(self):
        """All runs, each once, those of the comparison first."""
        return list(dict.fromkeys([*self.comparison_keys(), *self.ratio_keys()]))


@dataclass(frozen=True)
class Run:
    key: Key
    curve: list  # [{"epoch": 0, "seconds": 0.0, "mAP": ..., "rank1": ..., "mINP": ...}, ...], 0 is untrained
    step_ms: float  # median time of a training step
    loss_ms: float | None  # of which the losses, forward and backward

    @property
    def untrained(self):
        return self.curve[0]

    @property
    def final(self):
        return self.curve[-1]


@dataclass(frozen=True)
class Pictures:
    query: np.ndarray  # [Q, 3, H, W] uint8
    query_ids: np.ndarray
    query_cams: np.ndarray
    gallery: np.ndarray
    gallery_ids: np.ndarray
    gallery_cams: np.ndarray


@dataclass(frozen=True)
class Features:
    query: np.ndarray  # [Q, D], after the neck
    gallery: np.ndarray  # [G, D]
    embedding: np.ndarray  # [G, D] of the gallery, before the neck


@dataclass(frozen=True)
class Comparison:
    plan: Plan
    runs: dict  # {Key: Run}
    pictures: Pictures | None = None
    features: dict = field(
        default_factory=dict
    )  # {"untrained" or a loss: Features}, of the first seed

    def missing(self):
        return [key for key in self.plan.keys() if key not in self.runs]

    def of(self, loss, per_batch=None, per_identity=None):
        """The finished runs of a loss by seed, with the comparison's batches unless told otherwise."""
        shape = (per_batch, per_identity) if per_batch else tuple(self.plan.batch)
        found = [run for key, run in self.runs.items() if key.loss == loss and key[2:] == shape]
        return {run.key.seed: run for run in sorted(found, key=lambda run: run.key.seed)}


def write_whole(path, write):
    """`write(file)` into a file beside `path`, which takes its place once it is on the disk."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(beside, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def save_json(path, value):
    text = json.dumps(value, indent=1, ensure_ascii=False)
    write_whole(path, lambda file: file.write(text.encode()))


def save_plan(folder, plan):
    save_json(Path(folder, "plan.json"), asdict(plan))


def save_run(folder, run):
    record = {**run.key._asdict(), **asdict(run)}
    del record["key"]
    save_json(run_path(folder, run.key), record)


def run_path(folder, key):
    return Path(folder, "runs", f"{key.name}.json")


def save_arrays(folder, name, arrays):
    """`arrays`: Pictures or Features; name: "pictures", "features/drsl"."""
    values = {key: getattr(arrays, key) for key in arrays.__dataclass_fields__}
    write_whole(Path(folder, f"{name}.npz"), lambda file: np.savez_compressed(file, **values))


def load_plan(folder):
    return Plan(**read_json(Path(folder, "plan.json")))


def load(folder):
    """The comparison in a folder, as far as it got."""
    folder = Path(folder)
    plan = load_plan(folder)
    runs = {}
    for key in plan.keys():
        if (path := run_path(folder, key)).exists():
            record = read_json(path)
            runs[key] = Run(key, *(record[part] for part in ("curve", "step_ms", "loss_ms")))
    features = {
        name: load_arrays(folder, f"features/{name}", Features)
        for name in [UNTRAINED, *plan.losses]
    }
    features = {name: arrays for name, arrays in features.items() if arrays is not None}
    return Comparison(plan, runs, load_arrays(folder, "pictures", Pictures), features)


def load_arrays(folder, name, kind):
    path = Path(folder, f"{name}.npz")
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as file:
        return kind(**{key: file[key] for key in kind.__dataclass_fields__})


def read_json(path):
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path} is not there: no comparison was begun in that folder.") from None
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path} is damaged ({error}): delete it, or start with --fresh."
        ) from None
