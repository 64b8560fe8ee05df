"""What is behind the defaults: DRSL's δ and weights, normalised or not, and the other losses beside it.

python examples/reid/sweep.py: short runs from several seeds on the drawn pedestrians and on digits, a line of
JSON each in examples/reid/results/sweep.jsonl. What is there is not run again. With --table nothing is
trained, and the tables of docs/choosing.md are made from that file.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import NamedTuple

import data
from experiments import conduct
from experiments.line import Line
from experiments.tables import tables, write_into
from training.interrupt import Stopped

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "sweep.jsonl"
PAGE = HERE.parents[1] / "docs" / "choosing.md"
SHAPES = {"synthetic": (16, 4, 6), "digits": (6, 8, 4)}  # P, K, epochs
OTHERS = [(loss, {}) for loss in ("fidi", "smooth_ap", "triplet")]
OPTIONS = [  # what is tried, one thing at a time from the defaults
    *({"delta": delta} for delta in (0.5, 0.0, 0.1, 0.25, 1.0, 2.0)),
    *({"normalize": True, "delta": delta} for delta in (0.5, 0.1, 0.05)),
    {"rank_weight": 0.0}, {"sort_weight": 0.0}, {"angle_weight": 0.0},
    {"sort_weight": 0.0, "angle_weight": 0.0}, {"sort_weight": 3.0}, {"angle_weight": 3.0},
]  # fmt: skip


class Case(NamedTuple):
    data: str
    loss: str
    options: str  # JSON with sorted keys: hashable, and the same for the same options
    id_loss: bool
    seed: int


def case(name, loss, options, id_loss, seed):
    return Case(name, loss, json.dumps(options, sort_keys=True), id_loss, seed)


def cases(names, seeds):
    """Seed by seed, so that an interrupted sweep has tried everything equally often."""
    return [
        case(name, loss, options, False, seed)
        for seed in range(seeds)
        for name in names
        for loss, options in [*(("drsl", o) for o in OPTIONS), *OTHERS]
    ]


def read(path):
    """{Case: record}; a last line that was cut off does not count."""
    found = {}
    lines = path.read_text(encoding="utf-8").split("\n") if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line) if line else None
        except json.JSONDecodeError as error:
            if number == len(lines):
                continue
            raise ValueError(f"{path}, line {number} is damaged: {error}") from None
        if record:
            found[Case(*(record[part] for part in Case._fields))] = record
    return found


def add(path, record):
    """One line, on the disk before this returns; after a line that was cut off a new one begins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab+") as file:
        file.seek(0, os.SEEK_END)
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                whole = path.read_bytes().rpartition(b"\n")
                file.truncate(len(whole[0]) + len(whole[1]))
        file.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def run(path, left):
    loaded, line = {}, Line(len(left), [1.0] * len(left))
    try:
        for place, one in enumerate(left):
            if one.data not in loaded:
                loaded[one.data] = data.load(one.data)
            per_batch, per_identity, epochs = SHAPES[one.data]
            settings = conduct.settings_of(
                one.loss, one.seed, per_batch, per_identity, epochs,
                options=json.loads(one.options), id_loss=one.id_loss, every=0,
            )  # fmt: skip
            line.begin(place, f"{one.data} {one.loss} {one.options} seed {one.seed}")
            outcome = conduct.train(
                loaded[one.data], settings,
                on_epoch=lambda r, e=epochs: line.show(r["epoch"], e, r.get("mAP")),
            )  # fmt: skip
            scores = {name: round(outcome.curve[-1][name], 6) for name in conduct.KEPT}
            before = {"untrained_mAP": round(outcome.curve[0]["mAP"], 6)}
            add(path, {**one._asdict(), "epochs": epochs, "per_batch": per_batch,
                       "per_identity": per_identity, **scores, **before})  # fmt: skip
            line.end()
    finally:
        line.clear()


def parser():
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument(
        "--data", nargs="+", choices=list(SHAPES), default=list(SHAPES), metavar="NAME"
    )
    made.add_argument("--seeds", type=int, default=3, help="runs of each case (3)")
    made.add_argument("--results", type=Path, default=RESULTS, help="the file of results")
    made.add_argument("--table", action="store_true", help="train nothing, write the tables")
    made.add_argument(
        "--page", type=Path, default=PAGE, help="where the tables go (docs/choosing.md)"
    )
    return made


def main(arguments=None):
    options = parser().parse_args(arguments)
    try:
        if options.seeds < 1:
            raise ValueError(f"--seeds must be at least 1, got {options.seeds}")
        found = read(options.results)
        if options.table:
            write_into(options.page, tables(found.values()))
            print(f"{options.page}: {len(found)} runs")
            return 0
        left = [one for one in cases(options.data, options.seeds) if one not in found]
        print(f"{len(left)} runs to do, {len(found)} are there", file=sys.stderr, flush=True)
        run(options.results, left)
    except (Stopped, KeyboardInterrupt):
        print("\ninterrupted: finished runs are kept, the same command goes on", file=sys.stderr)
        return 130
    except (ValueError, OSError, ImportError, ArithmeticError) as error:
        print(f"sweep: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
