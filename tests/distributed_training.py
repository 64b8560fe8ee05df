"""Ranks in a training step: DDP, the order of ranks, backward, modes of autograd."""

from unittest import mock

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from distributed_kit import check
from distributed_table import BOTH, MODES, UNEVEN, Layout, batch, shared, split, whole
from drsl_cuda import DRSLLoss
from drsl_cuda.distributed import DistributedLoss, distributed_loss
from drsl_cuda.distributed._ranks import Ranks
from tolerances import F32, assert_close


@check(2, *BOTH)
@check(3, *[f"{case}-uneven" for case in BOTH])
@check(4, "drsl-gather-empty", "drsl-ring-empty", "fidi-ring-empty")
def under_ddp_parameters_get_the_gradient_of_one_process(world, case):
    loss, mode = split("-".join(case.split("-")[:2]))
    sizes = {2: (8, 8), 3: (3, 12, 9), 4: (6, 0, 4, 9)}[world.size]
    inputs, labels = batch(Layout(sizes))

    def model():
        torch.manual_seed(0)
        layers = torch.nn.Linear(6, 16), torch.nn.Tanh(), torch.nn.Linear(16, 8)
        return torch.nn.Sequential(*layers).double()

    ranks = DistributedDataParallel(model(), process_group=world.group)
    criterion = DistributedLoss(loss, world.group, mode)
    value = criterion(ranks(world.mine(inputs, sizes)), world.mine(labels, sizes, 0))
    value.backward()
    alone = model()
    wanted = loss(alone(inputs), labels)
    wanted.backward()
    assert_close(value, wanted, 1e-12, what="loss")
    for mine, right in zip(ranks.module.parameters(), alone.parameters(), strict=True):
        # Distances do not see the last bias: its gradient is a sum that cancels.
        assert_close(mine.grad, right.grad, 1e-12, floor=1e-15, what="gradient of a parameter")


@check(3, *BOTH)
def the_order_of_the_ranks_does_not_matter(world, case):
    loss, mode = split(case)
    x, labels = batch(UNEVEN)
    parts = torch.arange(24).split(UNEVEN.sizes)
    order = torch.cat([parts[k] for k in (2, 0, 1)])
    sizes = [len(parts[k]) for k in (2, 0, 1)]
    value, gradient = shared(world, loss, x[order], labels[order], sizes, mode=mode)
    wanted, of_all = whole(loss, x, labels)
    assert_close(value, wanted, 1e-12)
    assert_close(gradient / 3, world.mine(of_all[order], sizes), 1e-12)


@check(2, *BOTH)
def what_follows_the_loss_scales_the_gradient_and_average_is_optional(world, case):
    loss, mode = split(case)
    x, labels = batch(Layout((5, 8)))
    _, of_all = whole(loss, x, labels, 3.0)
    _, gradient = shared(world, loss, x, labels, (5, 8), 3.0, mode=mode, average=False)
    assert_close(gradient, world.mine(of_all, (5, 8)), 1e-12)


@check(2, *MODES)
def backward_needs_no_other_rank_and_runs_twice(world, mode):
    x, labels = batch(Layout((5, 8)))
    leaf = world.mine(x, (5, 8)).requires_grad_()
    mine = world.mine(labels, (5, 8), 0)
    value = distributed_loss(DRSLLoss(), leaf, mine, group=world.group, mode=mode)
    dist.barrier(world.group)
    if world.rank == 1:  # rank 0 never calls it
        with mock.patch.object(Ranks, "shift", side_effect=AssertionError("communicates")):
            first, second = (torch.autograd.grad(value, leaf, retain_graph=True) for _ in range(2))
        assert first[0].abs().sum() > 0 and torch.equal(first[0], second[0])
        (grad,) = torch.autograd.grad(value, leaf, create_graph=True)
        with pytest.raises(RuntimeError, match="first derivative"):
            grad.square().sum().backward()


@check(2, *MODES)
def two_runs_give_the_same_bits(world, mode):
    x, labels = batch(Layout((20, 13)), F32)
    runs = [shared(world, DRSLLoss(), x, labels, (20, 13), mode=mode) for _ in range(2)]
    assert torch.equal(runs[0][0], runs[1][0]) and torch.equal(runs[0][1], runs[1][1])


@check(3, *BOTH)
def only_one_rank_wants_a_gradient(world, case):
    loss, mode = split(case)
    x, labels = batch(UNEVEN)
    mine = world.mine(x, UNEVEN.sizes).requires_grad_(world.rank == 1)
    value = distributed_loss(
        loss, mine, world.mine(labels, UNEVEN.sizes, 0), group=world.group, mode=mode
    )
    assert value.requires_grad == (world.rank == 1)
    wanted, of_all = whole(loss, x, labels)
    assert_close(value, wanted, 1e-12)
    if world.rank == 1:
        value.backward()
        assert_close(mine.grad / 3, world.mine(of_all, UNEVEN.sizes), 1e-12)


@check(2, *BOTH)
def without_a_graph_the_loss_is_the_same(world, case):
    loss, mode = split(case)
    x, labels = batch(Layout((5, 8)))
    wanted, _ = whole(loss, x, labels)
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            leaf = world.mine(x, (5, 8)).requires_grad_(context is torch.no_grad)
            mine = world.mine(labels, (5, 8), 0)
            value = distributed_loss(loss, leaf, mine, group=world.group, mode=mode)
        assert not value.requires_grad
        assert_close(value, wanted, 1e-12)
