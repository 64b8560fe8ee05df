"""All losses × layouts of ranks × modes × types: the loss and the gradient are those of one process."""

from dataclasses import dataclass

import torch

from distributed_kit import check
from drsl_cuda import BatchHardTripletLoss, DRSLLoss, FIDILoss, SmoothAPLoss
from drsl_cuda.distributed import distributed_loss
from tolerances import F32, F64, assert_close

# The same sums of some 1e2 numbers in another order: a few roundings. In the ring a positive's cosine is
# rounded on another way than in one process, and the temperature of Smooth-AP makes 100 of it.
EXACT = {F64: 1e-12, F32: 1e-6}
SHARP = {F64: 1e-12, F32: 1e-5}

LOSSES = {
    "drsl": DRSLLoss(),
    "drsl_exact_step": DRSLLoss(delta=0.0, rank_weight=0.7, sort_weight=2.0, angle_weight=0.3),
    "drsl_unit_sum": DRSLLoss(delta=0.05, normalize=True, reduction="sum"),
    "fidi": FIDILoss(),
    "fidi_unit_sum": FIDILoss(alpha=1.3, normalize=True, reduction="sum"),
    "smooth_ap": SmoothAPLoss(),
    "smooth_ap_self": SmoothAPLoss(temperature=0.1, include_self=True),
    "triplet": BatchHardTripletLoss(),
    "triplet_soft_unit": BatchHardTripletLoss(margin=None, normalize=True),
    "triplet_sum": BatchHardTripletLoss(margin=1.0, reduction="sum"),
}
FOUR = {name: LOSSES[name] for name in ("drsl", "fidi", "smooth_ap", "triplet")}
MODES = ("gather", "ring")
BOTH = [f"{name}-{mode}" for name in FOUR for mode in MODES]


@dataclass(frozen=True)
class Layout:
    sizes: tuple
    labels: str = "spread"
    sets: tuple = ()


LAYOUTS = {
    "one": Layout((13,)),
    "even": Layout((9, 9)),
    "sets": Layout((5, 8), sets=(2,)),
    "uneven": Layout((3, 12, 9)),
    "lonely": Layout((7, 4, 10), "lonely"),  # rank 1 has no positive of anything
    "at_home": Layout((8, 4, 6), "at_home"),  # no identity is on two ranks
    "empty_rank": Layout((5, 0, 9, 6)),
    "alone": Layout((0, 6, 0)),
    "no_positives": Layout((3, 5), "all_differ"),
    "one_class": Layout((4, 5), "one_class"),
    "nothing": Layout((0, 0)),
}


UNEVEN = LAYOUTS["uneven"]


def split(case):
    name, mode = case.split("-")
    return FOUR[name], mode


def batch(layout, dtype=F64, dim=6, seed=0):
    """The whole batch: x [.., G, D], labels [G], drawn so that float32 orders it as float64 does."""
    count = sum(layout.sizes)
    draw = torch.Generator().manual_seed(seed + 100 * count)
    labels = torch.randint(0, max(1, count // 4), (count,), generator=draw)
    first, second = layout.sizes[0], sum(layout.sizes[:2])
    if layout.labels == "lonely":
        labels[first:second] = 100 + torch.arange(second - first)
    elif layout.labels == "at_home":
        rank = torch.repeat_interleave(torch.arange(len(layout.sizes)), torch.tensor(layout.sizes))
        labels = 10 * rank + labels % 2
    elif layout.labels == "all_differ":
        labels = torch.arange(count)
    elif layout.labels == "one_class":
        labels = torch.zeros(count, dtype=torch.int64)
    x = torch.randn(*layout.sets, count, dim, generator=draw, dtype=F32)
    return x.to(dtype), labels


def whole(loss, x, labels, scale=1.0, **others):
    """Loss and gradient in one process."""
    leaf = x.clone().requires_grad_()
    value = loss(leaf, labels, **others)
    (scale * value).sum().backward()
    return value.detach(), leaf.grad


def shared(world, loss, x, labels, parts, scale=1.0, **options):
    """Loss of all ranks and this rank's rows of the gradient, times the number of ranks."""
    leaf = world.mine(x, parts).requires_grad_()
    value = distributed_loss(loss, leaf, world.mine(labels, parts, 0), group=world.group, **options)
    (scale * value).backward()
    return value.detach(), leaf.grad


def compare(world, loss, layout, dtype, mode, tolerance, **options):
    x, labels = batch(layout, dtype)
    value, gradient = shared(world, loss, x, labels, layout.sizes, mode=mode, **options)
    wanted, of_all = whole(loss, x, labels)
    assert value.dtype == wanted.dtype and gradient.dtype == dtype
    assert_close(value, wanted, tolerance, what="loss")
    mine = world.mine(of_all, layout.sizes)
    # An error is one of the whole gradient: a rank's own part of it may be close to 0.
    floor = tolerance * of_all.norm().item() / max(1, of_all.numel()) ** 0.5
    assert_close(gradient / world.size, mine, tolerance, floor=floor, what="gradient")


for layout_name, layout in LAYOUTS.items():

    def table(world, case, layout=layout):
        name, mode, dtype = case.split("-")
        dtype = {"float64": F64, "float32": F32}[dtype]
        tolerance = (SHARP if (name, mode) == ("smooth_ap", "ring") else EXACT)[dtype]
        compare(world, LOSSES[name], layout, dtype, mode, tolerance)

    table.__name__ = layout_name
    check(
        len(layout.sizes),
        *(f"{n}-{m}-{d}" for n in LOSSES for m in MODES for d in ("float64", "float32")),
    )(table)
