"""drsl_cuda.distributed: several ranks compute what one process with the whole batch would.

Everything that needs ranks runs in one set of processes (distributed_kit.py), started once.
"""

import copy
import pickle

import pytest
import torch

import drsl_cuda
from distributed_kit import CHECKS, run_all
from distributed_table import LOSSES, Layout, batch
from drsl_cuda import DRSLLoss, FIDILoss, SmoothAPLoss
from drsl_cuda.distributed import DistributedLoss, distributed_loss

MODULES = [f"distributed_{part}" for part in ("table", "training", "values", "options", "mistakes")]
for module in MODULES:
    __import__(module)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return run_all(tmp_path_factory.mktemp("ranks"), MODULES)


@pytest.mark.parametrize("name", CHECKS)
def test_ranks_together(results, name):
    failed = {rank: error for rank, error in results[name].items() if error is not None}
    assert not failed, "\n".join(f"rank {rank}: {error}" for rank, error in failed.items())


# ------------------------------------------------------------------------------- without ranks


@pytest.mark.parametrize("mode", ["gather", "ring"])
@pytest.mark.parametrize("name", LOSSES)
def test_without_a_group_it_is_the_loss_itself(name, mode):
    x, labels = batch(Layout((14,)))
    exclude = torch.eye(14, dtype=torch.bool).roll(1, 0)
    leaf, same = x.clone().requires_grad_(), x.clone().requires_grad_()
    loss = DistributedLoss(LOSSES[name], mode=mode)(leaf, labels, exclude=exclude)
    wanted = LOSSES[name](same, labels, exclude=exclude)
    loss.backward()
    wanted.backward()
    assert torch.equal(loss, wanted) and torch.equal(leaf.grad, same.grad)


def test_terms_and_losses_of_each_query_without_a_group():
    x, labels = batch(Layout((14,)))
    loss, terms = DistributedLoss(FIDILoss())(x, labels, return_terms=True)
    wanted, wanted_terms = FIDILoss()(x, labels, return_terms=True)
    assert torch.equal(loss, wanted) and torch.equal(terms.negative, wanted_terms.negative)
    losses = DistributedLoss(DRSLLoss(reduction="none"))(x, labels)
    assert torch.equal(losses, DRSLLoss(reduction="none")(x, labels))


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"mode": "star"}, ValueError, "mode must be one of 'gather', 'ring', got 'star'"),
        ({"mode": None}, TypeError, "mode must be one of"),
        ({"even": 1}, TypeError, "even must be True or False, got int"),
        ({"average": None}, TypeError, "average must be True or False, got NoneType"),
        ({"group": "all"}, ValueError, "group must be None before init_process_group"),
        ({"sizes": [3]}, ValueError, "sizes must hold 4, the rows given, at rank 0"),
        ({"sizes": [4], "even": True}, ValueError, "even must be False where sizes are given"),
        ({"return_terms": 1}, TypeError, "return_terms must be True or False"),
        ({"exclude": torch.zeros(4, 4)}, TypeError, "exclude must be a bool tensor"),
        ({"exclude": torch.zeros(3, 4) > 0}, ValueError, r"exclude must have shape \[b, G\]"),
        (
            {"mode": "ring", "exclude": torch.zeros(4, 3) > 0},
            ValueError,
            r"exclude must have shape \[B, G\]",
        ),
    ],
    ids=str,
)
def test_wrong_arguments_are_named(options, error, message):
    with pytest.raises(error, match=message):
        distributed_loss(DRSLLoss(), torch.randn(4, 3), torch.arange(4), **options)


def test_what_does_not_go_together_is_refused():
    x, labels = torch.randn(4, 3), torch.arange(4) % 2
    with pytest.raises(ValueError, match="reduction must be 'mean' or 'sum' in mode 'ring'"):
        distributed_loss(DRSLLoss(reduction="none"), x, labels, mode="ring")
    with pytest.raises(ValueError, match="return_terms must be False, SmoothAPLoss has no terms"):
        distributed_loss(SmoothAPLoss(), x, labels, return_terms=True)
    for other in (torch.nn.MSELoss(), drsl_cuda.RankSortLoss(), "drsl", DRSLLoss):
        with pytest.raises(TypeError, match="loss must be a loss on embeddings from drsl_cuda"):
            DistributedLoss(other)
    with pytest.raises(ValueError, match="mode must be one of"):
        DistributedLoss(DRSLLoss(), mode="star")


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["copy", "pickle"]
)
def test_the_module_shows_and_keeps_its_settings(duplicate):
    criterion = duplicate(DistributedLoss(DRSLLoss(delta=0.25), mode="ring", average=False))
    assert "mode='ring', even=False, average=False" in repr(criterion)
    assert "delta=0.25" in repr(criterion) and criterion.loss.delta == 0.25
    x, labels = batch(Layout((14,)))
    assert torch.equal(criterion(x, labels), DRSLLoss(delta=0.25)(x, labels))


def test_it_stands_in_a_compiled_step():
    x, labels = batch(Layout((14,)))
    criterion = DistributedLoss(DRSLLoss())
    step = torch.compile(lambda rows: criterion(rows * 2, labels), backend="eager")
    leaf = x.clone().requires_grad_()
    step(leaf).backward()
    assert torch.equal(step(x), DRSLLoss()(x * 2, labels)) and leaf.grad.abs().sum() > 0
