"""The problems that are timed, in the order of their importance, and the features they are made of.

random      all distances alike, so that every query sees every negative: the worst case, early training
clustered   a centre for each identity and half as much noise, one sample in 64 without a centre:
            late training, where nearly no negative is near enough to matter
"""

from typing import NamedTuple

import torch

FEATURES = ("random", "clustered")


class Problem(NamedTuple):
    sets: int
    size: int  # B
    classes: int
    dim: int
    dtype: torch.dtype = torch.float32
    precision: str = "highest"  # of torch.set_float32_matmul_precision
    others: bool = False  # whether the losses beside DRSL are timed as well
    limits: dict | None = None  # what is aimed at: {"of products, random": 2.2, "ms, graph": 0.015}

    @property
    def name(self):
        sets = f"{self.sets} × " if self.sets > 1 else ""
        kind = str(self.dtype).removeprefix("torch.")
        kind += f" {self.precision}" if self.dtype == torch.float32 else ""
        return f"{sets}({self.size}, {self.size / self.classes:g}, {self.dim}) {kind}"

    @property
    def positives(self):
        return -(-self.size // self.classes) - 1


BF16 = torch.bfloat16
FULL = [
    Problem(1, 64, 16, 2048, limits={"ms, graph": 0.015, "ms, eager": 0.120}),
    Problem(8, 64, 16, 768, limits={"of one set": 1.5}),
    Problem(1, 64, 16, 768),  # eight sets are compared with it
    Problem(1, 4096, 256, 512, others=True, limits={"of products, random": 0.75}),
    Problem(1, 4096, 256, 512, precision="high"),
    Problem(1, 1024, 64, 512, limits={"of products, random": 0.8, "of reference, random": 1 / 15,
                                      "of compiled, random": 1 / 3}),
    Problem(1, 16384, 4096, 512, BF16,
            limits={"of products, random": 2.2, "of products, clustered": 1.5}),
    Problem(1, 256, 64, 2048),
    Problem(1, 1024, 256, 512, others=True),
    Problem(1, 65536, 16384, 512, BF16,
            limits={"of products, random": 2.6, "of products, clustered": 1.6, "bytes": 2**30}),
    Problem(1, 4096, 2, 512),
    Problem(1, 262144, 65536, 128, BF16, limits={"ms, ours": 600, "bytes": 2**32}),
    Problem(1, 262144, 65536, 128, limits={"ms, ours": 2000, "bytes": 2**32}),
]  # fmt: skip

QUICK = [
    Problem(1, 24, 6, 16, limits={"of products, random": 1e6}),
    Problem(2, 24, 6, 16, limits={"of one set": 1e6}),
    Problem(1, 40, 2, 8, others=True),
    Problem(1, 48, 12, 16, BF16),
]


def batch(problem, features, device):
    """Rows [B, D] or [S, B, D] and labels [B]."""
    generator = torch.Generator(device).manual_seed(1)
    shape = (problem.sets, problem.size, problem.dim)
    draw = {"generator": generator, "device": device}
    labels = torch.arange(problem.size, device=device) % problem.classes
    x = torch.randn(*shape, **draw)
    if features == "clustered":
        centres = torch.randn(problem.sets, problem.classes, problem.dim, **draw)
        stray = torch.arange(problem.size, device=device) % 64 == 63
        x = torch.where(stray[:, None], x, centres[:, labels] + 0.5 * x)
    x = x.to(problem.dtype)
    return (x if problem.sets > 1 else x[0]), labels
