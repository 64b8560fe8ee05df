"""What only a CUDA device can show; everything that has a meaning on both is in the other files."""

import pytest
import torch

from cases_scores import LOSSES, detector, run
from drsl_cuda import functional
from losses_table import LOSSES as EMBEDDING_LOSSES
from running import loss_and_grads
from tolerances import F32, F64, SAME, assert_close

pytestmark = pytest.mark.cuda

EVERY_LOSS = pytest.mark.parametrize(
    "loss", [functional.drsl_loss, *(row.function for row in EMBEDDING_LOSSES.values())]
)


def batch(size=200, dim=64, classes=50, dtype=F32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(size, dim, generator=generator, dtype=F64).to("cuda", dtype)
    return x, torch.arange(size, device="cuda") % classes


def step(loss, x, labels, **options):
    """The loss and its gradient."""
    leaf = x.detach().clone().requires_grad_()
    value = loss(leaf, labels, **options)
    value.sum().backward()
    return value.detach(), leaf.grad


@pytest.mark.parametrize("size", [200, 700])
@pytest.mark.parametrize("reduction", ["mean", "none"])
@EVERY_LOSS
def test_cuda_and_cpu_agree(loss, reduction, size):
    x, labels = batch(size, dtype=F64)
    on_gpu = step(loss, x, labels, reduction=reduction)
    on_cpu = step(loss, x.cpu(), labels.cpu(), reduction=reduction)
    assert on_gpu[0].is_cuda and on_gpu[1].is_cuda
    assert_close(on_gpu[0], on_cpu[0], SAME[F64].loss)
    assert_close(on_gpu[1], on_cpu[1], SAME[F64].grad)


@EVERY_LOSS
def test_a_step_never_waits_for_the_device(loss):
    x, labels = batch()
    x.requires_grad_()
    own = torch.arange(200, device="cuda")
    exclude = torch.eye(200, dtype=torch.bool, device="cuda")
    loss(x, labels, self_index=own, exclude=exclude).backward()  # loads kernels
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for reduction in ("mean", "sum", "none"):
            value = loss(x, labels, self_index=own, exclude=exclude, reduction=reduction)
            value.sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("size", [200, 700])
@EVERY_LOSS
def test_a_captured_step_replays_on_new_data(loss, size):
    x, labels = batch(size)
    static = x.clone().requires_grad_()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            torch.autograd.grad(loss(static, labels), static)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        value = loss(static, labels)
        (grad,) = torch.autograd.grad(value, static)
    for seed in (1, 2):
        new, others = batch(size, seed=seed, classes=50 - 20 * seed)  # other numbers of positives
        with torch.no_grad():
            static.copy_(new)
            labels.copy_(others)
        graph.replay()
        wanted = step(loss, new, labels)
        assert torch.equal(value, wanted[0])
        assert torch.equal(grad, wanted[1])


def test_the_current_stream_is_used():
    x, labels = batch(2000, 128)
    wanted = loss_and_grads(x, labels)
    torch.cuda.synchronize()
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        late = torch.zeros_like(x)
        torch.cuda._sleep(50_000_000)  # whoever does not queue behind this sees the zeros
        late.copy_(x)
        got = loss_and_grads(late, labels)
    side.synchronize()
    assert torch.equal(got[0], wanted[0])
    assert torch.equal(got[1], wanted[1])


def test_an_own_index_out_of_range_counts_as_none():
    # Looking at the values would stop the device, so the contract says: as if −1.
    x, labels = batch(40)
    wild = torch.full((40,), 10_000, device="cuda")
    got = loss_and_grads(x, labels, self_index=wild)
    wanted = loss_and_grads(x, labels, self_index=torch.full((40,), -1, device="cuda"))
    assert torch.equal(got[0], wanted[0])
    assert torch.equal(got[1], wanted[1])


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one device only")
def test_the_device_of_the_tensors_is_used_not_the_current_one():
    x, labels = batch()
    wanted = loss_and_grads(x, labels)
    with torch.cuda.device(0):
        got = loss_and_grads(x.to("cuda:1"), labels.to("cuda:1"))
    assert got[1].device.index == 1
    assert_close(got[0], wanted[0], SAME[F32].loss)
    assert_close(got[1], wanted[1], SAME[F32].grad)


# ------------------------------------------------------------------------------- scores


def scores_and_targets(entries=60_000, positives=700, seed=0):
    scores, targets = detector(entries, positives, seed=seed)
    regression = torch.linspace(0, 1, positives, device="cuda")
    return *(torch.as_tensor(v, dtype=F32, device="cuda") for v in (scores, targets)), regression


def score_step(leaf, targets, regression):
    """All losses on scores: what they return, and the gradient of their sum."""
    results = [r for loss in LOSSES for r in run(loss, leaf, targets, regression, 0.5)]
    total = sum(r for r in results if r.requires_grad)
    return [*(r.detach() for r in results), *torch.autograd.grad(total, leaf)]


def test_cuda_and_cpu_agree_on_scores():
    scores, targets, regression = scores_and_targets()
    on_gpu = score_step(scores.double().requires_grad_(), targets.double(), regression.double())
    given = (v.cpu().double() for v in (targets, regression))
    on_cpu = score_step(scores.cpu().double().requires_grad_(), *given)
    for got, wanted in zip(on_gpu, on_cpu, strict=True):
        assert got.is_cuda
        assert_close(got, wanted, SAME[F64].grad)


def test_losses_on_scores_never_wait_for_the_device():
    scores, targets, regression = scores_and_targets()
    leaf = scores.requires_grad_()
    wanted = score_step(leaf, targets, regression)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        got = score_step(leaf, targets, regression)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(map(torch.equal, got, wanted))


def test_captured_losses_on_scores_replay_on_other_numbers_of_positives():
    scores, targets, _ = scores_and_targets()
    leaf = scores.clone().requires_grad_()
    sets = leaf.detach()[None].clone().requires_grad_()

    def step():
        results = [
            *run("rank_sort", leaf, targets, None, 0.5),
            *run("ap", leaf, targets, None, 1.0),
        ]
        by_set = functional.alrp_loss(sets, targets[None], regression_of_all)[0]
        (grad,) = torch.autograd.grad(sum(results), leaf)
        return [*(r.detach() for r in results), grad, *torch.autograd.grad(by_set.sum(), sets)]

    regression_of_all = torch.rand(1, scores.numel(), device="cuda")
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = step()
    for positives in (0, 1, 5000, 60_000):
        other, other_targets, _ = scores_and_targets(positives=positives, seed=positives)
        with torch.no_grad():
            leaf.copy_(other), sets.copy_(other[None]), targets.copy_(other_targets)
        graph.replay()
        got = [v.clone() for v in outputs]
        assert all(map(torch.equal, got, step()))


def test_a_wrong_number_of_regression_losses_is_nan_on_a_gpu():
    scores, targets, regression = scores_and_targets(1000, 30)
    loss, rank, _ = functional.alrp_loss(scores, targets, regression[:-1])
    assert loss.isnan() and rank.isnan().all()
