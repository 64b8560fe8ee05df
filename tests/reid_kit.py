"""A small data set for the example's trainer, made of random colours, and what its tests share."""

import json
from dataclasses import dataclass

import torch

from training import checkpoint
from training.log import TIMES
from training.loop import Trainer
from training.settings import Settings

TINY = dict(epochs=2, per_batch=4, per_identity=3, lr=2e-3, warmup=0.5)


class Images(torch.utils.data.Dataset):
    """Identity = colours of an upper and a lower half; camera = a colour cast; the rest is noise."""

    def __init__(self, identities, cameras, seed, size=(16, 8)):
        self.identities, self.cameras = identities, cameras
        generator = torch.Generator().manual_seed(seed)
        colours = torch.rand(int(identities.max()) + 1, 3, 2, 1, generator=generator)
        cast = 0.3 * torch.rand(int(cameras.max()) + 1, 3, 1, 1, generator=generator)
        body = colours[identities].repeat_interleave(size[0] // 2, 2)  # [N, 3, H, 1]
        noise = 0.3 * torch.randn(len(identities), 3, *size, generator=generator)
        images = 0.5 * body + cast[cameras] + 0.15 + noise
        self.images = (images.clamp(0, 1) * 255).to(torch.uint8)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return self.images[i]


@dataclass(frozen=True)
class Data:
    name: str
    train: Images
    query: Images
    gallery: Images
    junk_ids: tuple = (-1,)
    distractor_ids: tuple = ()


def split(identities, per_identity, seed, cameras=3, first=0):
    numbers = torch.arange(first, first + identities).repeat_interleave(per_identity)
    return Images(numbers, torch.arange(len(numbers)) % cameras, seed)


def fake(identities=10, per_identity=5, seed=0):
    """A ReidData that a small CNN can learn in seconds, none too well."""
    return Data(
        "fake",
        split(identities, per_identity, seed, first=3),
        split(12, 2, seed + 1),
        split(12, 6, seed + 1, cameras=4),
    )


def settings(**changes):
    return Settings(**{**TINY, **changes})


def trained(folder=None, of=None, **changes):
    """A trainer that has run to its end."""
    options = {k: changes.pop(k) for k in ("callbacks", "resume", "network") if k in changes}
    trainer = Trainer(of or fake(), settings(**changes), folder, quiet=True, **options)
    trainer.run()
    return trainer


def numbers(records):
    """Records without what the clock says."""
    return without_clock(records)


def without_clock(value):
    """A state without what the clock says."""
    if isinstance(value, dict):
        dropped = (*TIMES, "loss_seconds")
        return {key: without_clock(one) for key, one in value.items() if key not in dropped}
    return [without_clock(one) for one in value] if isinstance(value, list) else value


def state(folder):
    return without_clock(checkpoint.load(folder / "last.pt"))


def lines(folder):
    """The records of its log."""
    return [json.loads(one) for one in (folder / "log.jsonl").read_text().splitlines()]


def same_state(one, other, path="state"):
    """Asserts that two nested states have the same bits."""
    assert type(one) is type(other), path
    if isinstance(one, dict):
        assert list(one) == list(other), path
        for key in one:
            same_state(one[key], other[key], f"{path}.{key}")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), path
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            same_state(a, b, f"{path}[{i}]")
    elif torch.is_tensor(one):
        assert one.dtype == other.dtype and torch.equal(one, other), path
    else:
        assert one == other, path
