"""Losses on scores inside PyTorch: derivatives, modes, modules; sizes; and the call of mmdetection."""

import itertools

import numpy as np
import pytest
import torch
from torch.utils.checkpoint import checkpoint

import oracle_scores
from cases_scores import LOSSES, build, detector, expected, gradients, oracle, problem, run
from drsl_cuda import ALRPLoss, APLoss, RankSortLoss, functional
from drsl_cuda.integrations import mmdet
from tolerances import BF16, F16, F32, F64, GRADCHECK, assert_close

BACKENDS = pytest.mark.parametrize("backend", ["native", "reference"])
LOSS = pytest.mark.parametrize("loss", LOSSES)


# ------------------------------------------------------------------------------- derivatives


class Frozen(torch.autograd.Function):
    """(1/n) Σ_ij C_ij (s_j − s_i) in value, the loss's own gradient as derivative."""

    @staticmethod
    def forward(ctx, scores, gradient, shares, positives):
        ctx.save_for_backward(gradient)
        differences = scores - scores[positives][:, None]
        return (shares * differences).sum() / len(positives)

    @staticmethod
    def backward(ctx, by):
        return by * ctx.saved_tensors[0], None, None, None


@BACKENDS
@LOSS
def test_a_forward_derivative_is_refused_rather_than_zero(loss, backend):
    c = build("soft_labels")

    def total(scores):
        return sum(run(loss, scores, c.targets, c.regression, 0.5, backend))

    with pytest.raises(RuntimeError, match="derivative"):
        torch.autograd.functional.jvp(total, c.scores, torch.ones_like(c.scores))


@BACKENDS
@LOSS
@pytest.mark.parametrize("alike", [True, False])
def test_a_checkpoint_computes_the_loss_again(loss, alike, backend):
    c = build("soft_labels")
    leaf = c.scores.clone().requires_grad_()

    def total(scores):
        results = run(loss, scores, c.targets, c.regression, 0.5, backend)
        first, *others = (result for result in results if result.requires_grad)
        return first + sum(others) * (1 if alike else 2)

    (wanted,) = torch.autograd.grad(total(leaf), leaf)
    kept = checkpoint(total, leaf, use_reentrant=False)
    for create_graph in (False, False, True):  # the second backward needs what was thrown away
        (got,) = torch.autograd.grad(kept, leaf, retain_graph=True, create_graph=create_graph)
        assert_close(got, wanted, 1e-12)


@BACKENDS
@LOSS
@pytest.mark.parametrize("delta", [0.5, 1.0, 0.0])
@pytest.mark.parametrize("name", ["soft_labels", "ties", "barely_a_false_positive"])
def test_gradcheck_of_the_frozen_surrogate(name, delta, loss, backend):
    c, wanted = build(name), expected(name, loss, delta)
    leaf = c.scores.clone().requires_grad_()
    grads = gradients(run(loss, leaf, c.targets, c.regression, delta, backend), leaf)
    positives = (c.targets > 0).nonzero()[:, 0]
    for gradient, shares in zip(grads, wanted.shares, strict=True):
        frozen = gradient, torch.as_tensor(shares), positives
        assert torch.autograd.gradcheck(lambda s, f=frozen: Frozen.apply(s, *f), leaf, **GRADCHECK)


@BACKENDS
@pytest.mark.parametrize("weights", [(1, 1), (2, 2), (1, 3), (1, 0), (0, 1), (-0.5, 2)], ids=str)
def test_ranking_and_sorting_have_gradients_of_their_own(weights, backend, device):
    scores, targets, _ = problem(device=device)
    leaf = scores.clone().requires_grad_()
    by_ranking, by_sorting = gradients(functional.rank_sort_loss(leaf, targets), leaf)
    ranking, sorting = functional.rank_sort_loss(leaf, targets, backend=backend)
    parts = [w * part for w, part in zip(weights, (ranking, sorting), strict=True) if w]
    (got,) = torch.autograd.grad(sum(parts), leaf)
    assert_close(got, weights[0] * by_ranking + weights[1] * by_sorting, 1e-12)
    negatives = targets == 0
    assert not by_sorting[negatives].any() and by_ranking[negatives].abs().sum() > 0


@BACKENDS
@LOSS
@pytest.mark.parametrize("sets", [False, True])
def test_backward_again_and_scaled(loss, sets, backend, device):
    scores, targets, regression = problem(device=device)
    if sets:
        scores, targets = (torch.stack([v, v.flip(0)]) for v in (scores, targets))
        regression = torch.rand_like(scores)
    leaf = scores.clone().requires_grad_()
    results = run(loss, leaf, targets, regression, 0.5, backend)
    weight = torch.linspace(1, 3, len(scores), device=device) if sets else 1.0
    total = sum((r * weight).sum() for r in results if r.requires_grad)
    first, second = (torch.autograd.grad(total, leaf, retain_graph=True)[0] for _ in range(2))
    assert_close(second, first, 1e-12)
    assert_close(torch.autograd.grad(3 * total, leaf)[0], 3 * first, 1e-12)
    one = scores.clone().requires_grad_()
    plain = sum(
        r.sum() for r in run(loss, one, targets, regression, 0.5, backend) if r.requires_grad
    )
    (grad,) = torch.autograd.grad(plain, one)
    assert_close(first, grad * (weight[:, None] if sets else 1.0), 1e-12)


@BACKENDS
@LOSS
def test_a_second_derivative_is_refused(loss, backend, device):
    scores, targets, regression = problem(device=device)
    leaf = scores.requires_grad_()
    total = sum(r for r in run(loss, leaf, targets, regression, 0.5, backend) if r.requires_grad)
    (grad,) = torch.autograd.grad(total, leaf, create_graph=True)
    assert grad.abs().sum() > 0
    with pytest.raises(RuntimeError, match="derivative"):
        (total + grad.square().sum()).backward()


@BACKENDS
@LOSS
def test_nothing_else_gets_a_gradient(loss, backend, device):
    scores, targets, regression = problem(device=device)
    assert not any(r.requires_grad for r in run(loss, scores, targets, regression, 0.5, backend))
    leaves = [v.clone().requires_grad_() for v in (scores, targets, regression)]
    results = run(loss, *leaves, 0.5, backend)
    sum(r for r in results if r.requires_grad).backward()
    assert leaves[0].grad is not None and leaves[1].grad is None and leaves[2].grad is None
    with torch.no_grad():
        again = run(loss, *leaves, 0.5, backend)
    assert not any(r.requires_grad for r in again)
    for a, b in zip(again, results, strict=True):
        assert_close(a, b, 1e-12)


@BACKENDS
@LOSS
@pytest.mark.parametrize("dtype", [F16, BF16], ids=str)
def test_loss_scaling_saves_small_gradients(loss, dtype, backend, device):
    # 2^16 meets the gradient before it is rounded to float16, where 2^-20 alone would leave little.
    scores, targets, regression = problem(400, 20, dtype=dtype, device=device)
    leaf = scores.requires_grad_()
    results = run(loss, leaf, targets, regression, 0.5, backend)
    (sum(r for r in results if r.requires_grad) * 2.0**-20 * 2.0**16).backward()
    wide = scores.detach().double().requires_grad_()
    results = run(loss, wide, targets, regression, 0.5, backend)
    (sum(r for r in results if r.requires_grad) * 2.0**-4).backward()
    assert_close(leaf.grad, wide.grad, 2.0**-8, floor=2.0**-24)


def test_layouts_do_not_matter(device):
    scores, targets, _ = problem(device=device)
    leaf = torch.stack([scores, scores], dim=1).requires_grad_()
    strided = leaf[:, 0], torch.stack([targets, targets], dim=1)[:, 1]
    got = functional.rank_sort_loss(*strided)
    assert all(map(torch.equal, got, functional.rank_sort_loss(scores, targets)))
    sum(got).backward()
    assert leaf.grad[:, 0].abs().sum() > 0 and not leaf.grad[:, 1].any()


# --------------------------------------------------------------------- modules, mmdetection


def test_modules_are_the_functions(device):
    scores, targets, regression = problem(device=device)
    for module, function, rest in (
        (RankSortLoss(0.25), lambda *a: functional.rank_sort_loss(*a, 0.25), ()),
        (APLoss(0.5, False), lambda *a: (functional.ap_loss(*a, 0.5, False),), ()),
        (ALRPLoss(2.0), lambda *a: functional.alrp_loss(*a, 2.0), (regression,)),
    ):
        got = module(scores, targets, *rest)
        got = got if isinstance(got, tuple) else (got,)
        assert all(map(torch.equal, got, function(scores, targets, *rest)))
    assert repr(APLoss()) == "APLoss(delta=1.0, interpolated=True, backend='auto')"
    assert repr(RankSortLoss()) == "RankSortLoss(delta=0.5, backend='auto')"
    assert ALRPLoss().delta == 1.0


def test_the_call_of_mmdetection(device):
    scores, targets, regression = problem(dtype=F32, device=device)
    criterion = mmdet.RankSort()
    got = criterion.apply(scores, targets, 0.25)
    assert all(map(torch.equal, got, functional.rank_sort_loss(scores, targets, 0.25)))
    assert all(
        map(
            torch.equal,
            mmdet.RankSort.apply(scores, targets),
            functional.rank_sort_loss(scores, targets),
        )
    )
    assert torch.equal(mmdet.APLoss.apply(scores, targets), functional.ap_loss(scores, targets))
    loss, rank, order = mmdet.aLRPLoss.apply(scores, targets, regression)
    # what the heads do with rank and order
    ordered = regression[order].flip(dims=[0])
    weighted = (torch.cumsum(ordered, dim=0) / rank[order].flip(dims=[0])).mean()
    assert loss.isfinite() and weighted > 0
    with pytest.raises(ValueError, match="eps"):
        mmdet.RankSort.apply(scores, targets, 0.5, 1e-6)


# ------------------------------------------------------------------------------------- size


@pytest.mark.slow
@pytest.mark.parametrize("delta", [0.5, 0.0, 0.01])
@pytest.mark.parametrize("dtype", [F64, F32], ids=str)
def test_a_million_entries_at_some_of_them(dtype, delta, device):
    rng = np.random.default_rng(5)
    scores, targets = detector(10**6, 10**4, seed=6)
    scores = torch.as_tensor(scores).to(F32).double()
    targets = torch.as_tensor(targets).to(F32).double()
    leaf = scores.to(device, dtype, copy=True).requires_grad_()
    ranking, sorting = functional.rank_sort_loss(leaf, targets.to(device, dtype), delta)
    by_ranking, by_sorting = (g.cpu().double() for g in gradients((ranking, sorting), leaf))

    def h(x):
        return (x / (2 * delta) + 0.5).clip(0, 1) if delta else (x >= 0).astype(float)

    s, t = scores.numpy(), targets.numpy()
    positive, negative = np.flatnonzero(t > 0), np.flatnonzero(t == 0)
    ordered = np.sort(s[negative])
    totals = np.concatenate([[0], np.cumsum(ordered)])
    low, high = (np.searchsorted(ordered, s[positive] + d) for d in (-delta, delta))
    inside, below = (
        high - low,
        s[positive] - (totals[high] - totals[low]) / np.maximum(high - low, 1),
    )
    false_positive = len(ordered) - high + inside * (0.5 - below / (2 * delta or 1))
    rank = np.zeros(len(positive))
    for some in np.array_split(np.arange(len(positive)), 20):
        rank[some] = h(s[positive] - s[positive[some], None]).sum(1)
    rank += false_positive
    assert_close(ranking.cpu(), np.mean(false_positive / rank), 1e-9 if dtype == F64 else 1e-5)
    some = rng.choice(negative, 50, replace=False)
    wanted = (h(s[some, None] - s[positive]) * (false_positive > 1e-10) / rank).sum(1) / len(
        positive
    )
    assert_close(by_ranking[some], wanted, 1e-9 if dtype == F64 else 1e-4)
    assert_close(
        by_ranking[positive], -false_positive / rank / len(positive), 1e-9 if dtype == F64 else 1e-4
    )
    assert abs(by_sorting.sum()) <= 1e-5 * by_sorting.abs().sum() and sorting > 0


def test_every_small_row():
    # all targets over all scores of four entries that tie in every way, as one call of many sets
    targets = list(itertools.product([-1.0, 0.0, 0.5, 1.0], repeat=4))
    scores = list(itertools.product([0.0, 0.25, 1.0], repeat=4))
    rows = list(itertools.product(scores, targets))[::7]
    leaf = torch.tensor([s for s, _ in rows], dtype=F64, requires_grad=True)
    losses = functional.rank_sort_loss(leaf, torch.tensor([t for _, t in rows], dtype=F64))
    (grad,) = torch.autograd.grad(sum(losses).sum(), leaf)
    wanted = [oracle_scores.rank_sort(*row, 0.5) for row in rows]
    for k in range(2):
        assert_close(losses[k], np.array([w.losses[k] for w in wanted]), 1e-12)
    assert_close(grad, np.array([sum(w.gradients) for w in wanted]), 1e-12)


def test_the_oracle_knows_what_can_be_said_by_hand():
    # one positive below one of two negatives: rank 1 + 1, error ½ handed to the one above
    row = oracle("ap_plain", np.array([0.0, 5.0, -5.0]), np.array([1.0, 0, 0]), None, 1.0)
    assert row.losses[0] == 0.5 and row.gradients[0].tolist() == [-0.5, 0.5, 0.0]
    # the better of two positives ranks lower: sorted as is, its error is ½(0 + 1) − 0
    row = oracle("rank_sort", np.array([0.0, 5.0]), np.array([1.0, 0.5]), None, 0.0)
    assert row.losses[1] == pytest.approx(0.5 * (0.25 - 0.0))
    assert row.gradients[1].tolist() == [-0.125, 0.125]
