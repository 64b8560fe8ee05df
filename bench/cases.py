"""The cases that are timed: one table, in the order of their importance.

A batch is its own gallery; a gallery case has queries and a gallery of others; scores are those of a
detector; an evaluation is that of queries against a gallery. Features are

random      all distances alike, so that every query sees every negative: the worst case, early training
clustered   a centre for each identity and half as much noise, one sample in 64 without a centre:
            late training, where nearly no negative is near enough to matter
"""

from fnmatch import fnmatchcase as fnmatch
from typing import NamedTuple

import torch

DRSL = ("drsl",)
FAMILY = ("drsl", "fidi", "smooth_ap", "triplet")
SCORES = ("rank_sort", "ap", "alrp")
LOSSES = (*FAMILY, *SCORES, "evaluate")
EVERYWHERE, CPU, GPU = ("cpu", "cuda"), ("cpu",), ("cuda",)


class Case(NamedTuple):
    name: str  # what --case takes
    kind: str  # batch, gallery, scores, evaluation
    size: int  # B queries, or N scores
    each: int  # K of an identity among those that are compared with; positives of scores
    dim: int = 0
    gallery: int = 0
    sets: int = 1
    losses: tuple = DRSL
    devices: tuple = EVERYWHERE
    dtype: str = "float32"
    precision: str = "highest"  # of torch.set_float32_matmul_precision
    features: str = "random"
    heavy: bool = False  # minutes on a CPU: after everything else, ours and the floor alone
    quick: bool = False  # part of --quick
    both_sides: bool = False  # whether the gallery has a gradient

    @property
    def classes(self):
        return max(1, (self.gallery or self.size) // self.each)

    @property
    def positives(self):
        """n, of a query."""
        return self.each if self.kind in ("gallery", "scores") else self.each - 1

    @property
    def columns(self):
        return self.gallery or self.size

    @property
    def torch_dtype(self):
        return getattr(torch, self.dtype)

    @property
    def title(self):
        """As a table shows it."""
        if self.kind == "scores":
            return f"scores {self.size:,} / {self.each:,}"
        if self.kind == "evaluation":
            return f"evaluate {self.size:,} × {self.gallery:,} × {self.dim}"
        if self.kind == "gallery":
            sides = ", both sides" if self.both_sides else ""
            return f"{self.size} × {self.gallery:,}, D = {self.dim}{sides}"
        sets = f"{self.sets} × " if self.sets > 1 else ""
        return f"{sets}({self.size}, {self.each}, {self.dim})"

    @property
    def full_title(self):
        """With type, precision and features."""
        kind = f"{self.dtype} {self.precision}" if self.dtype == "float32" else self.dtype
        if self.kind != "batch":
            kind = "" if self.dtype == "float32" else kind
        features = self.features if self.features != "random" else ""
        return " ".join(filter(None, (self.title, kind, features)))


def numbers(more):
    """What a name says of the type, unless it is plain float32."""
    tags = {"bfloat16": "-bf16", "float16": "-f16"}.get(more.get("dtype"), "")
    return tags + ("-tf32" if more.get("precision") == "high" else "")


def batch(size, each, dim, **more):
    tags = numbers(more)
    tags += "-clustered" if more.get("features") == "clustered" else ""
    sets = f"{more['sets']}x" if "sets" in more else ""
    return Case(f"{sets}{size}x{each}x{dim}{tags}", "batch", size, each, dim, **more)


def gallery(size, entries, each, dim, **more):
    return Case(f"{size}-of-{entries}", "gallery", size, each, dim, entries, **more)


def scores(entries, positives, **more):
    return Case(
        f"scores-{entries}-{positives}", "scores", entries, positives, losses=SCORES, **more
    )


def evaluation(name, queries, entries, dim, **more):
    name = f"evaluate-{name}{numbers(more)}"
    return Case(name, "evaluation", queries, 26, dim, entries, losses=("evaluate",), **more)


BF16 = {"dtype": "bfloat16", "devices": GPU}
LATE = {"features": "clustered", "devices": GPU}
CASES = (
    batch(64, 4, 2048, losses=FAMILY, quick=True),
    batch(64, 4, 768, sets=8, quick=True),
    batch(64, 4, 768, devices=GPU),  # eight sets are compared with it
    batch(4096, 16, 512, losses=FAMILY),
    batch(4096, 16, 512, precision="high", devices=GPU),
    batch(1024, 16, 512, losses=FAMILY),
    batch(16384, 4, 512, **BF16),
    batch(256, 4, 2048, losses=FAMILY),
    batch(1024, 4, 512, losses=FAMILY, quick=True),
    batch(65536, 4, 512, **BF16),
    batch(4096, 2048, 512),  # two classes: many positives
    batch(262144, 4, 128, **BF16),
    batch(262144, 4, 128, devices=GPU),
    scores(1_000_000, 10_000),
    scores(100_000, 2000),
    scores(10_000, 100, quick=True),
    gallery(64, 55_000, 16, 512),  # a memory bank: what it holds has no gradient
    gallery(128, 60_000, 4, 512, both_sides=True),
    batch(64, 16, 2048),
    batch(128, 4, 768, quick=True),
    batch(512, 4, 2048),
    batch(4000, 4, 512),
    batch(4096, 4, 512, losses=FAMILY),
    batch(64, 4, 512),  # with 256, 1024, 4096, 16384 and 65536: what grows with B
    batch(256, 4, 512),
    batch(8, 4, 64),  # what Python and autograd cost
    evaluation("market1501", 3368, 19_732, 2048),
    batch(4096, 16, 512, **LATE),
    batch(1024, 16, 512, **LATE),
    batch(16384, 4, 512, **BF16, features="clustered"),
    batch(65536, 4, 512, **BF16, features="clustered"),
    batch(16384, 4, 128, devices=CPU),  # how much memory a stream takes
    batch(16384, 4, 512, heavy=True),
    evaluation("msmt17", 11_659, 82_161, 768, heavy=True),
    evaluation("msmt17", 11_659, 82_161, 768, precision="high", devices=GPU),
    evaluation("msmt17", 11_659, 82_161, 768, **BF16),
    batch(65536, 4, 512, heavy=True),  # streaming
)
TINY = batch(24, 4, 16, losses=FAMILY)  # is in no run; tests and rehearsals name it
BY_NAME = {case.name: case for case in (*CASES, TINY)}


class UnknownName(ValueError):
    """A name on the command line that stands for nothing; the text says what there is."""


def choose(device, names=(), losses=(), quick=False):
    """The cases that a run on a device is about. Names may be patterns: 'scores-*', '*x512'."""
    here = [case for case in CASES if device in case.devices and (case.quick or not quick)]
    if names:
        here = named(names)
    if device != "cpu":
        here = [case._replace(heavy=False) for case in here]
    unknown = [loss for loss in losses if loss not in LOSSES]
    if unknown:
        raise UnknownName(f"no loss is called {unknown[0]!r}; there are {', '.join(LOSSES)}")
    if losses:
        here = [case._replace(losses=tuple(x for x in case.losses if x in losses)) for case in here]
    return [case for case in here if case.losses]


def named(patterns):
    found = []
    for pattern in patterns:
        some = [
            case
            for case in BY_NAME.values()
            if fnmatch(case.name, pattern) or pattern in (case.title, case.full_title)
        ]
        if not some:
            raise UnknownName(f"no case is called {pattern!r}; there are {', '.join(BY_NAME)}")
        found += [case for case in some if case not in found]
    return found
