"""Ranks and what may be asked: terms, single losses, masks, the reference, known sizes, memory."""

from contextlib import contextmanager
from unittest import mock

import torch

from distributed_kit import check
from distributed_table import (
    BOTH,
    FOUR,
    MODES,
    UNEVEN,
    Layout,
    batch,
    compare,
    split,
    whole,
)
from drsl_cuda import DRSLLoss, FIDILoss, SmoothAPLoss
from drsl_cuda.distributed import DistributedLoss, _positives, _ranking, _rows, distributed_loss
from drsl_cuda.distributed._ranks import Ranks
from tolerances import F64, assert_close


@check(2, *[f"{n}-{m}-{r}" for n in ("drsl", "fidi") for m in MODES for r in ("mean", "sum")])
def terms_are_those_of_the_whole_batch(world, case):
    name, mode, reduction = case.split("-")
    loss = {"drsl": DRSLLoss, "fidi": FIDILoss}[name](reduction=reduction)
    x, labels = batch(Layout((5, 8), sets=(2,)))
    leaf, mine = world.mine(x, (5, 8)), world.mine(labels, (5, 8), 0)
    criterion = DistributedLoss(loss, world.group, mode)
    value, terms = criterion(leaf.requires_grad_(), mine, return_terms=True)
    wanted, wanted_terms = loss(x, labels, return_terms=True)
    assert type(terms) is type(wanted_terms)
    assert_close(value, wanted, 1e-12)
    for got, right in zip(terms, wanted_terms, strict=True):
        assert not got.requires_grad
        assert_close(got, right, 1e-12)


@check(3, *FOUR)
def losses_of_each_query_are_not_reduced(world, name):
    loss = type(FOUR[name])(reduction="none")
    x, labels = batch(UNEVEN)
    weights = torch.linspace(-1, 2, 24, dtype=F64)
    leaf = world.mine(x, UNEVEN.sizes).requires_grad_()
    mine = world.mine(labels, UNEVEN.sizes, 0)
    losses = distributed_loss(loss, leaf, mine, group=world.group)
    (losses * world.mine(weights, UNEVEN.sizes, 0)).sum().backward()
    everyone = x.clone().requires_grad_()
    wanted = loss(everyone, labels)
    (wanted * weights).sum().backward()
    assert_close(losses, world.mine(wanted, UNEVEN.sizes, 0), 1e-12)
    assert_close(leaf.grad, world.mine(everyone.grad, UNEVEN.sizes), 1e-12)


@check(3, *BOTH)
def excluded_pairs_are_left_out(world, case):
    loss, mode = split(case)
    leave_out_pairs(world, loss, mode)


@check(3, *MODES)
def an_excluded_own_copy_is_no_positive(world, mode):
    leave_out_pairs(world, SmoothAPLoss(0.1, include_self=True), mode)


def leave_out_pairs(world, loss, mode):
    x, labels = batch(UNEVEN)
    exclude = torch.rand(24, 24, generator=torch.Generator().manual_seed(1)) < 0.3
    for query in (1, 4, 20):
        exclude[query] |= labels != labels[query]  # no negative: nothing for a triplet
    exclude[6] |= labels == labels[6]
    exclude[torch.arange(0, 24, 5), torch.arange(0, 24, 5)] = True
    x[9, 0] = torch.nan  # and those that are excluded cannot spoil anything
    exclude[:, 9] = True
    exclude[9] = True
    leaf = world.mine(x, UNEVEN.sizes).requires_grad_()
    value = distributed_loss(
        loss,
        leaf,
        world.mine(labels, UNEVEN.sizes, 0),
        group=world.group,
        mode=mode,
        exclude=world.mine(exclude, UNEVEN.sizes),
    )
    value.backward()
    wanted, of_all = whole(loss, x, labels, exclude=exclude)
    assert_close(value, wanted, 1e-12)
    assert_close(leaf.grad / 3, world.mine(of_all, UNEVEN.sizes), 1e-12)


@check(3, *BOTH)
def the_reference_runs_over_ranks_too(world, case):
    name, mode = case.split("-")
    loss = type(FOUR[name])(backend="reference")
    with mock.patch("drsl_cuda._ops.tf32", side_effect=AssertionError("native")):
        compare(world, loss, UNEVEN, F64, mode, 1e-10)


@check(3, *BOTH)
def small_tiles_change_nothing(world, case):
    loss, mode = split(case)
    with (
        mock.patch.object(_rows, "TILE", 20),
        mock.patch.object(_ranking, "TILE", 20),
        mock.patch.object(_positives, "TILE", 20),
        mock.patch("drsl_cuda.distributed._kinds._ROWS", 30),
    ):
        compare(world, loss, UNEVEN, F64, mode, 1e-12)
        leave_out_pairs(world, loss, mode)


@check(3, *MODES)
def known_sizes_are_not_exchanged(world, mode):
    with mock.patch.object(Ranks, "exchange", side_effect=AssertionError("exchanged")):
        compare(world, DRSLLoss(), UNEVEN, F64, mode, 1e-12, sizes=list(UNEVEN.sizes))
        compare(world, DRSLLoss(), Layout((7, 7, 7)), F64, mode, 1e-12, even=True)


@check(3, *BOTH)
def the_ring_holds_no_more_than_a_block(world, case):
    loss, mode = split(case)
    largest = []
    gather = Ranks.gather

    def seen(self, x):
        largest.append(x.dim())
        return gather(self, x)

    with mock.patch.object(Ranks, "gather", seen), counted_shifts() as shifts:
        compare(world, loss, UNEVEN, F64, mode, 1e-12)
        across = len(shifts)
        compare(world, loss, Layout((8, 4, 6), "at_home"), F64, mode, 1e-12)
    assert max(largest) == (1 if mode == "ring" else 2)  # labels alone are gathered
    # Twice (W − 1) for each pass that needs rows and W for gradients; no first pass if all are at home.
    passes = {"drsl": 3, "smooth_ap": 3, "triplet": 2, "fidi": 1}[case.split("-")[0]]
    if mode == "ring":
        assert across == 2 * passes + 3
        assert len(shifts) - across == 2 * min(passes, 2) + 3


@contextmanager
def counted_shifts():
    shifts, shift = [], Ranks.shift

    def counted(self, rows, owner):
        shifts.append(owner)
        return shift(self, rows, owner)

    with mock.patch.object(Ranks, "shift", counted):
        yield shifts
