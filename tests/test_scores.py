"""Rank & Sort, AP and aLRP on scores against the oracle: every case, both implementations, all types."""

import numpy as np
import pytest
import torch

import cases_scores
from cases_scores import DELTAS, INF, LOSSES, build, detector, expected, gradients, on_grid, run
from drsl_cuda import functional
from tolerances import BF16, CONTRACT, F16, F32, F64, SAME, UNDERFLOW, accumulation, assert_close

BACKENDS = pytest.mark.parametrize("backend", ["native", "reference"])
LOSS = pytest.mark.parametrize("loss", LOSSES)


def check(results, leaf, wanted, dtype):
    """Losses and gradients against those of the oracle, each by itself."""
    tolerance = CONTRACT[dtype]
    # Errors are differences of numbers up to 1, which is what their own are relative to.
    for got, value in zip(results, wanted.losses, strict=False):
        assert got.dtype == accumulation(dtype) and got.shape == ()
        assert_close(got, value, tolerance.loss, floor=tolerance.loss, what="loss")
    for got, value in zip(gradients(results, leaf), wanted.gradients, strict=True):
        assert got.dtype == dtype
        floor = UNDERFLOW[dtype] + tolerance.loss / max(1, len(value))
        assert_close(got, value, tolerance.grad, floor=floor, what="gradient")
    if wanted.rank is not None:
        assert_close(results[1], wanted.rank, tolerance.loss, what="rank")
        assert results[2].tolist() == wanted.order.tolist()


@BACKENDS
@LOSS
@pytest.mark.parametrize("delta", DELTAS)
@pytest.mark.parametrize("name", cases_scores.names())
def test_loss_and_gradient(name, delta, loss, backend, device):
    c, wanted = build(name), expected(name, loss, delta)
    for dtype in (F64, F32):
        leaf = c.scores.to(device, dtype, copy=True).requires_grad_()
        rest = c.targets.to(device, dtype), c.regression.to(device, dtype)
        check(run(loss, leaf, *rest, delta, backend), leaf, wanted, dtype)


@BACKENDS
@LOSS
@pytest.mark.parametrize("dtype", [F16, BF16], ids=str)
@pytest.mark.parametrize("name", ["soft_labels", "ties", "masked", "positive_nan", "all_negative"])
def test_half_precision_is_computed_in_float32(name, dtype, loss, backend, device):
    c = build(name)
    for targets_type in (dtype, F32, F64):
        leaf = c.scores.to(device, dtype, copy=True).requires_grad_()
        rest = c.targets.to(device, targets_type), c.regression.to(device, targets_type)
        check(run(loss, leaf, *rest, 0.5, backend), leaf, expected(name, loss, 0.5), dtype)


@BACKENDS
@LOSS
def test_targets_of_any_type(loss, backend, device):
    scores, targets = detector(60, 9, soft=False)
    scores, targets = on_grid(scores).to(device), torch.as_tensor(targets, device=device)
    regression = torch.ones(9, dtype=F64, device=device)
    wanted = run(loss, scores, targets, regression, 0.5, backend)
    for dtype in (torch.int64, torch.int8, F32, BF16):
        got = run(loss, scores, targets.to(dtype), regression, 0.5, backend)
        assert all(torch.equal(g, w) for g, w in zip(got, wanted, strict=True))
    flags = run(loss, scores, targets > 0, regression, 0.5, backend)
    plain = run(loss, scores, (targets > 0).double(), regression, 0.5, backend)
    assert all(torch.equal(g, w) for g, w in zip(flags, plain, strict=True))


@BACKENDS
@LOSS
@pytest.mark.parametrize("delta", [0.5, 0.0])
def test_sets_are_separate_problems(loss, delta, backend, device):
    rows = [detector(50, n, seed=n) for n in (5, 0, 50, 1)]
    rows[3][0][:] = np.nan
    scores = torch.stack([on_grid(s) for s, _ in rows]).to(device)
    targets = torch.stack([on_grid(t) for _, t in rows]).to(device)
    regression = torch.linspace(0, 1, 200, dtype=F64, device=device).view(4, 50)
    leaf = scores.clone().requires_grad_()
    results = run(loss, leaf, targets, regression, delta, backend)
    grads = gradients(results, leaf)
    for s in range(4):
        one = scores[s].clone().requires_grad_()
        positive = targets[s] > 0
        wanted = run(loss, one, targets[s], regression[s][positive], delta, backend)
        for got, value in zip(results[: len(grads)], wanted, strict=False):
            assert got.shape == (4,)
            assert_close(got[s], value, 1e-12)
        for got, value in zip(grads, gradients(wanted, one), strict=True):
            assert_close(got[s], value, 1e-12)
        if loss == "alrp":
            columns = positive.nonzero()[:, 0]
            assert_close(results[1][s][positive], wanted[1], 1e-12)
            assert not results[1][s][~positive].any()
            assert results[2][s, : len(columns)].tolist() == columns[wanted[2]].tolist()
            assert (results[2][s, len(columns) :] == -1).all()


@BACKENDS
@LOSS
@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (0,)])
def test_nothing_at_all(loss, shape, backend, device):
    leaf = torch.zeros(shape, device=device, requires_grad=True)
    regression = torch.zeros(shape, device=device)
    results = run(loss, leaf, torch.zeros(shape, device=device), regression, 0.5, backend)
    assert results[0].shape == shape[:-1] and not results[0].any()
    assert [g.shape for g in gradients(results, leaf)] == [shape] * (
        2 if loss == "rank_sort" else 1
    )


@BACKENDS
@LOSS
def test_without_positives_the_loss_is_attached(loss, backend, device):
    leaf = torch.randn(10, device=device, requires_grad=True)
    empty = torch.zeros(0, device=device)
    results = run(loss, leaf, torch.zeros(10, device=device), empty, 0.5, backend)
    sum(r for r in results if r.requires_grad).backward()
    assert results[0] == 0 and torch.equal(leaf.grad, torch.zeros_like(leaf))


@BACKENDS
@LOSS
@pytest.mark.parametrize("dtype", [F64, F32], ids=str)
@pytest.mark.parametrize("delta", [2.0**-60, 1e-30, 1e-300, 5e-324])
def test_a_tiny_delta_is_the_exact_step_but_for_ties(delta, dtype, loss, backend, device):
    # Equal scores count ½ instead of 1: without any, all is as for δ = 0, where i counts itself as 1.
    scores, targets = detector(60, 10, seed=11)
    scores = torch.as_tensor(np.argsort(np.argsort(scores)) / 8, dtype=dtype, device=device)
    targets, ones = (
        torch.as_tensor(targets, dtype=dtype, device=device),
        torch.ones(10, device=device),
    )
    if loss == "rank_sort":  # here i counts itself as H(0) = ½
        want = cases_scores.oracle(
            loss, scores.cpu().double().numpy(), targets.cpu().numpy(), None, delta
        )
        want = want.losses
    else:
        want = run(loss, scores, targets, ones, 0.0, backend)[:1]
    for got, value in zip(run(loss, scores, targets, ones, delta, backend), want, strict=False):
        assert_close(got, value, CONTRACT[dtype].loss)


@LOSS
@pytest.mark.parametrize("delta", [0.0, 0.5])
@pytest.mark.parametrize("spread", [1e5, 1e9])
def test_scores_far_wider_than_the_step_keep_their_windows(spread, delta, loss, device):
    # Clusters a step wide, far apart: a window is a small difference of large numbers.
    rng = np.random.default_rng(14)
    scores = np.round(spread * rng.random(6))[rng.integers(0, 6, 120)]
    scores = torch.as_tensor(scores + rng.integers(0, 16, 120) / 16.0)
    targets = torch.as_tensor(np.where(rng.random(120) < 0.5, rng.random(120), 0.0))
    scores[0], targets[0] = -spread, 0.5  # a cluster of one
    regression = torch.ones(int((targets > 0).sum()), dtype=F64)
    wanted = cases_scores.oracle(loss, scores.numpy(), targets.numpy(), regression.numpy(), delta)
    leaf = scores.to(device).requires_grad_()
    rest = targets.to(device), regression.to(device)
    check(run(loss, leaf, *rest, delta), leaf, wanted, F64)


@BACKENDS
@LOSS
@pytest.mark.parametrize("positives", [3, 140])
@pytest.mark.parametrize("dtype", [F64, F32], ids=str)
def test_neighbouring_scores_are_told_apart(dtype, positives, loss, backend, device):
    # One unit in the last place between any two, and the hard step.
    rng = np.random.default_rng(15)
    scores = 1 + rng.permutation(2 * positives) * torch.finfo(dtype).eps
    targets = np.where(np.arange(2 * positives) % 2, 0.0, rng.integers(1, 9, 2 * positives) / 8)
    regression = np.ones(positives)
    wanted = cases_scores.oracle(loss, scores, targets, regression, 0.0)
    leaf = torch.as_tensor(scores, dtype=dtype, device=device).requires_grad_()
    rest = (torch.as_tensor(v, dtype=dtype, device=device) for v in (targets, regression))
    check(run(loss, leaf, *rest, 0.0, backend), leaf, wanted, dtype)


@BACKENDS
@LOSS
@pytest.mark.parametrize("delta", [0.0, 0.5])
def test_minus_zero_is_zero(delta, loss, backend, device):
    targets = torch.tensor([0.4, 0.9, 0.0, 0.7, 0.0, 0.2], dtype=F64, device=device)
    found = []
    for zero in (0.0, -0.0):
        scores = [0.0, zero, 0.0, zero, zero, -1.0]
        leaf = torch.tensor(scores, dtype=F64, device=device).requires_grad_()
        regression = torch.linspace(0, 1, 4, dtype=F64, device=device)
        results = run(loss, leaf, targets, regression, delta, backend)
        found.append([*results, *gradients(results, leaf)])
    for mine, same in zip(*found, strict=True):
        assert torch.equal(mine, same)


@BACKENDS
@pytest.mark.parametrize("part", ["ranking", "sorting", "alrp"])
def test_too_little_out_of_order_updates_nothing(part, backend, device):
    # One entry beside a positive at 0, of which the step takes this much; docs/losses.md has the limits.
    limit = 1e-5 if part == "alrp" else 1e-10
    loss = "alrp" if part == "alrp" else "rank_sort"
    targets = torch.tensor([0.9, 0.4 if part == "sorting" else 0.0], dtype=F64, device=device)
    regression = torch.ones(1, dtype=F64, device=device)
    for share in (0.9, 1.1):
        leaf = torch.tensor([0.0, share * limit - 0.5], dtype=F64, device=device).requires_grad_()
        results = run(loss, leaf, targets, regression, 0.5, backend)
        grad = gradients(results, leaf)[1 if part == "sorting" else 0]
        error = results[1 if part == "sorting" else 0].detach()
        assert error > 0
        if share < 1:
            assert not grad.any()
        else:
            assert grad[1] > limit / 10
            assert abs(grad.sum()) <= 1e-6 * limit  # 1e-17 of a score is 1e-7 of the limit


@BACKENDS
@LOSS
@pytest.mark.parametrize("exponent", [-100, -30, 30, 100])
@pytest.mark.parametrize("delta", [0.0, 0.5])
@pytest.mark.parametrize("dtype", [F64, F32], ids=str)
def test_the_unit_of_scores_does_not_matter(dtype, delta, exponent, loss, backend, device):
    # Powers of two, and the step as wide as before: every number of every sum is the same.
    scores, targets = detector(200, 30, seed=13)
    scores = on_grid(scores).to(device, dtype)
    targets, regression = on_grid(targets).to(device), torch.linspace(0, 1, 30, device=device)
    found = []
    for by in (1.0, 2.0**exponent):
        leaf = (scores * by).requires_grad_()
        results = run(loss, leaf, targets, regression, delta * by, backend)
        found.append([*results, *gradients(results, leaf)])
    for mine, same in zip(*reversed(found), strict=True):
        assert torch.equal(mine, same)


@pytest.mark.parametrize("dtype", [F64, F32], ids=str)
@LOSS
def test_adding_a_constant_changes_nothing(loss, dtype, device):
    scores, targets = detector(200, 30, seed=12)
    scores = torch.as_tensor(np.round(scores * 256) / 256, dtype=dtype, device=device)
    targets = torch.as_tensor(targets, dtype=dtype, device=device)
    regression = torch.ones(30, device=device)
    base = run(loss, scores, targets, regression, 0.5)
    for constant in (1024.0, -4096.0):  # exact in float32, too
        moved = run(loss, scores + constant, targets, regression, 0.5)
        for got, value in zip(moved[:1], base[:1], strict=True):
            assert_close(got, value, SAME[dtype].loss)


@LOSS
def test_the_gradient_sums_to_zero_and_bits_repeat(loss, device):
    scores, targets = (torch.as_tensor(v, device=device) for v in detector(70_000, 900, seed=13))
    scores, regression = scores.float(), torch.ones(900, device=device)
    leaf = scores.clone().requires_grad_()
    first = run(loss, leaf, targets, regression, 0.5)
    again = run(loss, leaf, targets, regression, 0.5)
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a, b)
    for a, b in zip(gradients(first, leaf), gradients(again, leaf), strict=True):
        assert torch.equal(a, b)
        assert abs(a.double().sum()) <= 1e-6 * a.double().abs().sum()


def test_more_threads_give_the_same_numbers(two_threads):
    scores, targets = (torch.as_tensor(v) for v in detector(150_000, 500, seed=14))
    leaf = scores.clone().requires_grad_()
    two = functional.rank_sort_loss(leaf, targets)
    grads = gradients(two, leaf)
    torch.set_num_threads(1)
    one = functional.rank_sort_loss(leaf, targets)
    for a, b in zip([*one, *gradients(one, leaf)], [*two, *grads], strict=True):
        assert_close(a, b, 1e-12)


def test_a_masked_negative_is_one_that_is_ignored(device):
    scores, targets = (torch.as_tensor(v, device=device) for v in detector(100, 10, seed=15))
    some = (targets == 0) & (torch.arange(100, device=device) % 2 == 0)
    masked = functional.rank_sort_loss(torch.where(some, -INF, scores), targets)
    ignored = functional.rank_sort_loss(scores, torch.where(some, -1.0, targets))
    assert all(torch.equal(a, b) for a, b in zip(masked, ignored, strict=True))


@BACKENDS
@pytest.mark.parametrize("delta", [1e-38, 1e-42, 1e-44, 1e-320])
@pytest.mark.parametrize("dtype", [F64, F32], ids=str)
def test_a_step_narrower_than_any_number_is_still_one(dtype, delta, backend, device):
    # Equal scores count ½: N_FP = 11/2 of rank 6, and each negative is given an eleventh of the error.
    scores = torch.zeros(12, dtype=dtype, device=device, requires_grad=True)
    targets = torch.zeros(12, dtype=dtype, device=device)
    targets[11] = 0.25
    error = functional.rank_sort_loss(scores, targets, delta, backend=backend)[0]
    (grad,) = torch.autograd.grad(error, scores)
    assert_close(error, 5.5 / 6, CONTRACT[F32].loss)
    assert_close(grad, torch.tensor([1 / 12] * 11 + [-5.5 / 6]), CONTRACT[F32].grad)
