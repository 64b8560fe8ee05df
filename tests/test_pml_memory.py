"""References that contain the batch itself: CrossBatchMemory and DistributedLossWrapper."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("pytorch_metric_learning")

from pytorch_metric_learning import losses as pml_losses
from pytorch_metric_learning import miners
from pytorch_metric_learning.utils import loss_and_miner_utils as lmu

from by_hand import anchors_of, per_anchor
from drsl_cuda.integrations import pml
from pml_kit import CLASSES, DTYPES, EVERY, batch, compare
from tolerances import F64, SAME, assert_close

SIZE, STEPS = 50, 6  # steps of 20: the ring is overwritten in the third and wraps within a batch

WITH_SELF = {"name": "smooth_ap", "include_self": True, "temperature": 0.1}


def listed(pairs, count, own):
    """Positives and negatives of each anchor, without its own column."""
    every = anchors_of(pairs, count)
    return [([c for c in p if c != own[q]], n) for q, (p, n) in enumerate(every)]


class History:
    """The memory by hand: column k holds what came as number k, k + SIZE, k + 2 SIZE, …"""

    def __init__(self):
        self.rows, self.labels, self.came = {}, {}, 0

    def add(self, x, labels):
        """The columns of the batch."""
        columns = [(self.came + q) % SIZE for q in range(len(x))]
        self.came += len(x)
        for q, column in enumerate(columns):
            self.rows[column], self.labels[column] = x[q].detach().clone(), labels[q].clone()
        return columns

    def all(self):
        return tuple(
            torch.stack([kept[k] for k in sorted(kept)]) for kept in (self.rows, self.labels)
        )


def mean(losses):
    return sum(losses.values()) / len(losses)


@EVERY
@DTYPES
@pytest.mark.parametrize("mined", [False, True], ids=["all", "mined"])
def test_memory(name, dtype, mined):
    miner = miners.MultiSimilarityMiner(epsilon=0.0) if mined else None
    memory, history = pml.CrossBatchMemory(CLASSES[name](), 12, SIZE, miner), History()
    for step in range(STEPS):
        x, labels = batch(seed=step, dtype=dtype)
        own = history.add(x, labels)
        r, r_labels = history.all()
        found = (
            miner(x.detach(), labels, r, r_labels)
            if mined
            else lmu.get_all_pairs_indices(labels, r_labels)
        )
        wanted = mean(per_anchor(name, x, r, listed(found, len(x), own)))
        compare(name, memory(x, labels), wanted, [x], dtype)


@pytest.mark.parametrize("mined", [False, True], ids=["all", "mined"])
def test_memory_tells_a_loss_that_counts_own_copies(mined):
    options = {k: v for k, v in WITH_SELF.items() if k != "name"}
    miner = miners.MultiSimilarityMiner(epsilon=0.0) if mined else None
    memory, history = pml.CrossBatchMemory(pml.SmoothAPLoss(**options), 12, SIZE, miner), History()
    for step in range(STEPS):
        x, labels = batch(seed=step)
        own = history.add(x, labels)
        r, r_labels = history.all()
        found = (
            miner(x.detach(), labels, r, r_labels)
            if mined
            else lmu.get_all_pairs_indices(labels, r_labels)
        )
        wanted = mean(per_anchor(**WITH_SELF, x=x, r=r, listed=listed(found, 20, own), own=own))
        compare("smooth_ap", memory(x, labels), wanted, [x], F64)


class OfTheLibrary(pml_losses.CrossBatchMemory):
    """The library's own memory, which says by missing pairs alone what is the anchor's own copy."""

    @staticmethod
    def supported_losses():
        return [loss.__name__ for loss in CLASSES.values()]


@pytest.mark.parametrize(
    "options",
    [*[{"name": name} for name in CLASSES], WITH_SELF],
    ids=lambda o: "-".join(map(str, o)),
)
@pytest.mark.parametrize("mined", [False, True], ids=["all", "mined"])
def test_own_copies_are_found_from_missing_pairs(options, mined):
    options = dict(options)
    made = CLASSES[options.pop("name")](**options)
    miner = miners.MultiSimilarityMiner(epsilon=0.0) if mined else None
    theirs, ours = OfTheLibrary(made, 12, SIZE, miner), pml.CrossBatchMemory(made, 12, SIZE, miner)
    for step in range(STEPS):
        x, labels = batch(seed=step)
        assert_close(theirs(x, labels), ours(x, labels), SAME[F64].loss)


@EVERY
def test_memory_with_batches_of_one(name):
    memory, history = pml.CrossBatchMemory(CLASSES[name](), 12, SIZE), History()
    for step in range(5):
        x, labels = batch(1, classes=2, seed=step)
        own = history.add(x, labels)
        r, r_labels = history.all()
        found = listed(lmu.get_all_pairs_indices(labels, r_labels), 1, own)
        by_hand = per_anchor(name, x, r, found)
        loss = memory(x, labels)
        wanted = mean(by_hand) if by_hand else torch.zeros(())
        assert_close(loss, wanted, SAME[F64].loss, floor=1e-15)  # a loss of 1 − 1 is but rounding
        loss.backward()


@EVERY
def test_memory_of_other_samples(name):
    # enqueue_mask: some go to the memory, the others are compared with it. Nobody has an own copy.
    memory = pml.CrossBatchMemory(CLASSES[name](), 12, SIZE)
    x, labels = batch()
    mask = torch.arange(20) < 12
    loss = memory(x, labels, enqueue_mask=mask)
    pairs = lmu.get_all_pairs_indices(labels[~mask], labels[mask])
    wanted = mean(per_anchor(name, x[~mask], x[mask].detach(), anchors_of(pairs, 8)))
    compare(name, loss, wanted, [x], F64)


def test_memory_with_an_indices_tuple_beside_its_own():
    # The library appends it to what its miner chose: columns of the memory.
    x, labels = batch()
    memory = pml.CrossBatchMemory(pml.FIDILoss(), 12, SIZE, miners.BatchHardMiner())
    given = tuple(part[::3] for part in lmu.get_all_triplets_indices(labels))
    a, p, n = memory.miner(x.detach(), labels, x.detach().clone(), labels.clone())
    a, p, n = (torch.cat(two) for two in zip((a[a != p], p[a != p], n[a != p]), given, strict=True))
    wanted = mean(per_anchor("fidi", x, x.detach(), anchors_of((a, p, a, n), 20)))
    got = memory(x, labels, given)
    compare("fidi", got, wanted, [x], F64)


def test_memory_does_not_list_all_pairs(monkeypatch):
    memory = pml.CrossBatchMemory(pml.DRSLLoss(), 12, SIZE)

    def refuse(*_):
        raise AssertionError("all pairs were listed")

    monkeypatch.setattr(lmu, "get_all_pairs_indices", refuse)
    assert memory(*batch()) > 0
    with pytest.raises(AssertionError, match="were listed"):
        pml.CrossBatchMemory(pml_losses.ContrastiveLoss(), 12, SIZE)(*batch())


def test_memory_serves_the_losses_of_the_library_as_theirs_does():
    ours, theirs = (
        memory(pml_losses.ContrastiveLoss(), 12, SIZE)
        for memory in (pml.CrossBatchMemory, pml_losses.CrossBatchMemory)
    )
    for step in range(STEPS):
        assert torch.equal(ours(*batch(seed=step)), theirs(*batch(seed=step)))
    with pytest.raises(Exception, match="not supported for ArcFaceLoss"):
        pml.CrossBatchMemory(pml_losses.ArcFaceLoss(2, 12), 12)


# ------------------------------------------------------------------------- several processes

WORKER = """
import sys
import torch
import torch.distributed as dist
from pytorch_metric_learning.utils.distributed import DistributedLossWrapper

sys.path.insert(0, sys.argv[3])
from pml_kit import CLASSES, batch
from drsl_cuda.integrations import pml

rank, store = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method="file://" + store, rank=rank, world_size=2)
x, labels = batch()
mine = slice(0, 10) if rank == 0 else slice(10, 20)
found = {}
for name in (*CLASSES, "with_self"):
    made = CLASSES[name]() if name in CLASSES else pml.SmoothAPLoss(include_self=True)
    for kind in ("whole", "efficient", "memory"):
        loss = pml.CrossBatchMemory(made, 12, 64) if kind == "memory" else made
        part = x[mine].detach().clone().requires_grad_()
        value = DistributedLossWrapper(loss, efficient=kind == "efficient")(part, labels[mine])
        (grad,) = torch.autograd.grad(value, part)
        found[name, kind] = value.detach(), grad
torch.save(found, f"{store}.{rank}")
dist.barrier()
dist.destroy_process_group()
"""


@pytest.fixture(scope="module")
def on_two_processes(tmp_path_factory):
    store = tmp_path_factory.mktemp("processes") / "store"
    command = [sys.executable, "-c", WORKER]
    here = str(Path(__file__).parent)
    workers = [
        subprocess.Popen([*command, str(rank), str(store), here], stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    errors = [worker.communicate(timeout=600)[1] for worker in workers]
    assert all(worker.returncode == 0 for worker in workers), "\n".join(errors)
    return [torch.load(f"{store}.{rank}") for rank in range(2)]


@pytest.mark.parametrize("name", [*CLASSES, "with_self"])
def test_distributed(name, on_two_processes):
    x, labels = batch()
    options = {"include_self": True} if name == "with_self" else {}
    name_of_loss = "smooth_ap" if options else name
    pairs = anchors_of(lmu.get_all_pairs_indices(labels), 20)
    losses = per_anchor(
        name_of_loss, x, x, pairs, **options, **({"own": range(20)} if options else {})
    )
    for rank, mine in enumerate((range(10), range(10, 20))):
        value, _ = on_two_processes[rank][name, "whole"]
        assert_close(value, 2 * mean(losses), SAME[F64].loss)  # times the number of processes

        # "efficient" takes the anchors of the process against all, whose own copies are in it.
        some = {q: loss for q, loss in losses.items() if q in mine}
        value, _ = on_two_processes[rank][name, "efficient"]
        assert_close(value, 2 * mean(some), SAME[F64].loss)

        value, grad = on_two_processes[rank][name, "memory"]
        against = per_anchor(
            name_of_loss, x, x.detach(), pairs, **options, **({"own": range(20)} if options else {})
        )
        assert_close(value, 2 * mean(against), SAME[F64].loss)
        (wanted,) = torch.autograd.grad(2 * mean(against), x)
        assert_close(grad, wanted[list(mine)], SAME[F64].grad)
