"""The CUDA kernels of the losses on scores, run on host threads (on_host_threads.py): against the oracle,
the CPU engine, and themselves with threads that take turns in other orders.

Limits are so small there (csrc/cuda/score_task.cuh) that tens of positives are sorted in tiles and merged,
spread over blocks and summed by tables. All other tests of these losses can be run by the kernels too:
pytest --on-host-threads=warp tests/test_scores.py.
"""

import numpy as np
import pytest
import torch

import cases_scores
from cases_scores import DELTAS, INF, LOSSES, build, detector, expected, gradients, run
from on_host_threads import ORDERS, launches, on_host_threads
from test_scores import check
from tolerances import CONTRACT, F32, F64, SAME, assert_close

LOSS = pytest.mark.parametrize("loss", LOSSES)
ORDER = pytest.mark.parametrize("order", ORDERS)
DTYPE = pytest.mark.parametrize("dtype", [F64, F32], ids=str)

# Of every kind of row one; these run in all orders and under the sanitizers.
FEW = ("soft_labels", "many_positives", "one_entry", "all_negative", "nothing", "ties", "all_equal",
       "edges_of_ramps", "masked", "ignored_are_no_numbers", "far_apart", "positive_nan",
       "negative_inf")  # fmt: skip


def against_the_oracle(name, loss, delta, dtype, order):
    c = build(name)
    leaf = c.scores.to(dtype, copy=True).requires_grad_()
    with on_host_threads(order):
        before = launches()
        results = run(loss, leaf, c.targets.to(dtype), c.regression.to(dtype), delta)
        check(results, leaf, expected(name, loss, delta), dtype)
        assert launches() > before


@LOSS
@pytest.mark.parametrize("name", cases_scores.names())
def test_every_case_matches_the_oracle(name, loss):
    turn = cases_scores.names().index(name) + LOSSES.index(loss)
    for k, delta in enumerate(DELTAS):  # orders and types take turns
        dtype = (F64, F32)[(turn + k) % 2]
        against_the_oracle(name, loss, delta, dtype, ORDERS[(turn + k) % len(ORDERS)])


@pytest.mark.sanitized
@ORDER
@pytest.mark.parametrize("name", FEW)
def test_every_order_matches_the_oracle(name, order):
    for k, loss in enumerate(LOSSES):
        against_the_oracle(name, loss, (0.5, 0.0)[k % 2], (F32, F64)[k // 2], order)
    against_the_oracle(name, "rank_sort", 0.0, F32, order)


def row(entries, positives, *, dtype=F64, seed=21):
    """Scores that tie here and there, as targets do."""
    scores, targets = detector(entries, positives, seed=seed)
    scores[::7] = np.round(scores[::7] * 4) / 4
    targets[targets > 0] = np.ceil(targets[targets > 0] * 50) / 50
    targets, regression = torch.as_tensor(targets), torch.linspace(0, 2, positives)
    return torch.as_tensor(scores).to(dtype), targets.to(dtype), regression.to(dtype)


def everything(loss, scores, targets, regression, delta):
    """Results and gradients of the operator: on a GPU each has its own at once."""
    leaf = scores.clone().requires_grad_()
    outputs = [r.detach() for r in run(loss, leaf, targets, regression, delta)]
    if loss != "rank_sort":
        return outputs + gradients(run(loss, leaf, targets, regression, delta), leaf)
    apart = torch.ops.drsl.rank_sort_loss(scores, targets, delta, True, True)
    both = torch.ops.drsl.rank_sort_loss(scores, targets, delta, True, False)
    return outputs + list(apart) + list(both)[:3]


# Sorted in a tile, merged once, twice; a table of one cell, of some, of cells that are longer.
SIZES = [pytest.param(s, marks=pytest.mark.sanitized, id=str(s))
         for s in ((400, 15), (400, 60), (900, 300), (64, 64))]  # fmt: skip
SIZES += [pytest.param((1300, 1290), id="(1300, 1290)")]


@LOSS
@pytest.mark.parametrize("size", SIZES)
def test_long_rows_match_the_cpu(size, loss):
    for k, delta in enumerate((0.5, 0.0, 0.01, 30.0)):
        given = row(*size)
        wanted = everything(loss, *given, delta)
        with on_host_threads(ORDERS[k]):
            got = everything(loss, *given, delta)
        for value, other in zip(got, wanted, strict=True):
            assert_close(value, other, SAME[F64].grad)


@pytest.mark.sanitized
@DTYPE
@LOSS
def test_all_orders_give_the_same_bits(loss, dtype):
    given = row(700, 150, dtype=dtype)
    for delta in (0.5, 0.0):
        with on_host_threads("forward"):
            wanted = everything(loss, *given, delta)
        for order in ORDERS[1:]:
            with on_host_threads(order, os_threads=2):
                for got, first in zip(everything(loss, *given, delta), wanted, strict=True):
                    assert torch.equal(got, first), order


@ORDER
@LOSS
def test_sets_that_do_not_fit_at_once(loss, order):
    rows = [row(200, n, seed=n) for n in (30, 0, 200, 1, 77)]
    scores, targets = (torch.stack([r[k] for r in rows]) for k in (0, 1))
    scores[3, 5] = INF
    targets[3, 5] = 0
    regression = torch.rand(5, 200, generator=torch.Generator().manual_seed(1), dtype=F64)
    wanted = everything(loss, scores, targets, regression, 0.5)
    with on_host_threads(order):
        got = everything(loss, scores, targets, regression, 0.5)
    assert wanted[0][3].isnan() and got[0][3].isnan()
    for value, other in zip(got, wanted, strict=True):
        assert_close(value, other, SAME[F64].grad)


@ORDER
def test_scores_that_crowd_add_up_in_lanes(order):
    # as early in training: all in one piece, in two by turns, or nearly all in one
    for scores in (
        torch.zeros(300),
        torch.arange(300) % 2.0,
        (torch.arange(300) % 11 == 0).double(),
    ):
        targets = (torch.arange(300) % 10 == 3).double()
        given = scores.double(), targets, torch.ones(30, dtype=F64)
        for loss in LOSSES:
            wanted = everything(loss, *given, 0.5)
            with on_host_threads(order):
                got = everything(loss, *given, 0.5)
            for value, other in zip(got, wanted, strict=True):
                assert_close(value, other, SAME[F64].grad)


@DTYPE
def test_ramps_that_overlap_over_a_wide_range(dtype):
    # Prefix sums over all of it, and no digit lost.
    scores = torch.arange(2000, dtype=F64).flip(0) * 0.75
    targets = torch.where(torch.arange(2000) % 3 == 0, (torch.arange(2000) % 17 + 1) / 20.0, 0.0)
    given = scores.to(dtype), targets.to(dtype), torch.ones(667, dtype=dtype)
    wanted = everything("rank_sort", *(v.double() for v in given), 0.5)
    with on_host_threads("warp"):
        got = everything("rank_sort", *given, 0.5)
    for value, other in zip(got, wanted, strict=True):
        assert_close(value, other, CONTRACT[dtype].loss)


@ORDER
def test_regression_losses_that_are_no_numbers(order):
    scores, targets, regression = row(120, 20)
    regression[4] = INF
    wanted = everything("alrp", scores, targets, regression, 1.0)
    with on_host_threads(order):
        got = everything("alrp", scores, targets, regression, 1.0)
    assert got[-1].isnan().any()
    for value, other in zip(got, wanted, strict=True):
        assert_close(value, other, SAME[F64].grad)


@pytest.mark.sanitized
@pytest.mark.parametrize("count", [0, 3, 19, 21, 200])
def test_a_wrong_number_of_regression_losses_is_nan(count):
    # The host does not know the right number; nothing is read or written beyond what there is.
    scores, targets, _ = row(120, 20)
    with on_host_threads("warp"):
        loss, rank, order, gradient = torch.ops.drsl.alrp_loss(
            scores, targets, torch.ones(count, dtype=F64), 1.0, True
        )
    assert loss.isnan() and rank.isnan().all() and order.tolist() == list(range(count))
    assert torch.equal(gradient.isnan(), targets >= 0)
