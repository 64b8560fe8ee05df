"""What trainers do with a loss: loss scaling, gradient caches, checkpointing, copies, worker processes."""

import copy
import io
import pickle

import pytest
import torch
from torch.utils.checkpoint import checkpoint

import drsl_cuda
from tolerances import F64, assert_close

MODULES = {
    "drsl": drsl_cuda.DRSLLoss,
    "fidi": drsl_cuda.FIDILoss,
    "smooth_ap": drsl_cuda.SmoothAPLoss,
    "batch_hard_triplet": drsl_cuda.BatchHardTripletLoss,
}
EVERY_LOSS = pytest.mark.parametrize("loss", MODULES)


def model(device, dtype=torch.float32):
    torch.manual_seed(0)
    layers = torch.nn.Linear(6, 16), torch.nn.Tanh(), torch.nn.Linear(16, 8)
    return torch.nn.Sequential(*layers).to(device, dtype)


def batch(device, dtype=torch.float32, size=24):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(size, 6, generator=generator, dtype=F64)
    return x.to(device, dtype), torch.arange(size, device=device) % 6


def gradients(net):
    return [p.grad.flatten().clone() for p in net.parameters()]


@EVERY_LOSS
def test_an_overflowing_scale_skips_the_step_and_recovers(loss, device):
    net, (x, labels) = model(device), batch(device)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler(device.type, init_scale=2.0**127, growth_interval=1000)
    criterion = MODULES[loss]()
    start = [p.detach().clone() for p in net.parameters()]
    scales = []
    for _ in range(200):
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16):
            value = criterion(net(x), labels)
        scaler.scale(value * 2**20).backward()  # beyond float32 at first
        scaler.step(optimizer)
        scaler.update()
        scales.append(scaler.get_scale())
        if any(not torch.equal(a, b) for a, b in zip(start, net.parameters(), strict=True)):
            break
    assert scales[0] < 2.0**127  # the first step was seen to overflow, and left out
    assert len(scales) > 1
    assert all(p.isfinite().all() for p in net.parameters())
    assert scales[-1] == scales[-2]  # the one that changed the model did not overflow


@EVERY_LOSS
def test_a_gradient_cache_gives_the_gradient_of_the_whole_batch(loss, device):
    # Embeddings without a graph, the loss on them alone, then the model again in small pieces.
    criterion, (x, labels) = MODULES[loss](), batch(device, F64)
    whole = model(device, F64)
    criterion(whole(x), labels).backward()
    net = model(device, F64)
    with torch.no_grad():
        embeddings = torch.cat([net(piece) for piece in x.split(5)])
    embeddings.requires_grad_()
    criterion(embeddings, labels).backward()
    for piece, upstream in zip(x.split(5), embeddings.grad.split(5), strict=True):
        net(piece).backward(upstream)
    # The pieces are summed in another order. Distances do not notice the last bias: its gradient is 0.
    assert_close(torch.cat(gradients(net)), torch.cat(gradients(whole)), 1e-12)


@EVERY_LOSS
@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_model_and_loss_changes_nothing(loss, reentrant, device):
    criterion, (x, labels) = MODULES[loss](), batch(device)
    results = []
    for wrap in (False, True):
        net, leaf = model(device), x.clone().requires_grad_()

        def step(x, net=net):
            return criterion(net(x), labels)

        value = checkpoint(step, leaf, use_reentrant=reentrant) if wrap else step(leaf)
        value.backward()
        results.append([value.detach(), leaf.grad, *gradients(net)])
    for got, wanted in zip(*results, strict=True):
        assert torch.equal(got, wanted)


@EVERY_LOSS
def test_deterministic_algorithms_can_be_asked_for(loss, device):
    x, labels = batch(device, size=700)
    results = []
    torch.use_deterministic_algorithms(True)
    try:
        for _ in range(3):
            leaf = x.clone().requires_grad_()
            value = MODULES[loss]()(leaf, labels)
            value.backward()
            results.append((value.detach(), leaf.grad))
    finally:
        torch.use_deterministic_algorithms(False)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def through_torch_save(module):
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@EVERY_LOSS
@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), through_torch_save]
)
def test_copies_compute_the_same(loss, duplicate, device):
    criterion, (x, labels) = MODULES[loss](normalize=True, reduction="sum"), batch(device)
    twin = duplicate(criterion)
    assert repr(twin) == repr(criterion)
    assert torch.equal(twin(x, labels), criterion(x, labels))
    assert not criterion.state_dict()
    twin.load_state_dict(criterion.state_dict())


class Losses(torch.utils.data.Dataset):
    """Item k: the loss of a batch of its own, computed in the process that loads it."""

    def __init__(self, loss):
        self.criterion = MODULES[loss]()

    def __len__(self):
        return 4

    def __getitem__(self, k):
        x, labels = batch("cpu", size=300 + k)
        leaf = x.requires_grad_()
        value = self.criterion(leaf, labels)
        value.backward()
        return torch.stack([value.detach(), leaf.grad.abs().sum()])


@EVERY_LOSS
def test_forked_workers_compute_what_the_parent_computes(loss):
    data = Losses(loss)
    wanted = torch.stack([data[k] for k in range(len(data))])  # the parent's threads are there
    loader = torch.utils.data.DataLoader(
        data, num_workers=2, multiprocessing_context="fork", timeout=600
    )
    assert_close(torch.cat(list(loader)), wanted, 1e-6)  # workers have one thread each
