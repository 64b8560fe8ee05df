"""What only a CUDA device can show; everything that has a meaning on both is in the other files."""

import pytest
import torch

from drsl_cuda import functional
from running import loss_and_grads
from tolerances import F32, F64, SAME, assert_close

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


def batch(size=200, dim=64, classes=50, dtype=F32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(size, dim, generator=generator, dtype=F64).to("cuda", dtype)
    return x, torch.arange(size, device="cuda") % classes


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_cuda_and_cpu_agree(reduction):
    x, labels = batch(dtype=F64)
    on_gpu = loss_and_grads(x, labels, reduction=reduction)
    on_cpu = loss_and_grads(x.cpu(), labels.cpu(), reduction=reduction)
    assert on_gpu[0].is_cuda and on_gpu[1].is_cuda
    assert_close(on_gpu[0], on_cpu[0], SAME[F64].loss)
    assert_close(on_gpu[1], on_cpu[1], SAME[F64].grad)


def test_a_step_never_waits_for_the_device():
    x, labels = batch()
    x.requires_grad_()
    own = torch.arange(200, device="cuda")
    exclude = torch.eye(200, dtype=torch.bool, device="cuda")
    functional.drsl_loss(x, labels, self_index=own, exclude=exclude).backward()  # loads kernels
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for reduction in ("mean", "sum", "none"):
            loss = functional.drsl_loss(
                x, labels, self_index=own, exclude=exclude, reduction=reduction
            )
            loss.sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert x.grad.isfinite().all()


def test_a_captured_step_replays_on_new_data():
    x, labels = batch()
    static = x.clone().requires_grad_()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            torch.autograd.grad(functional.drsl_loss(static, labels), static)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = functional.drsl_loss(static, labels)
        (grad,) = torch.autograd.grad(loss, static)
    for seed in (1, 2):
        new, _ = batch(seed=seed)
        with torch.no_grad():
            static.copy_(new)
        graph.replay()
        wanted = loss_and_grads(new, labels)
        assert torch.equal(loss, wanted[0])
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
