"""torchrun with two processes over Gloo: the numbers of one process with twice the batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import reid_ranks
from reid_kit import fake, lines, numbers, same_state, settings, state
from training import checkpoint
from training.loop import Trainer

HERE = Path(__file__).parent
DEADLINE = 600  # seconds, on a slow and busy machine
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """(folder, results of rank 0, of rank 1) of one start of two processes."""
    folder = tmp_path_factory.mktemp("ranks")
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*start, str(HERE / "reid_ranks.py"), str(folder)],
        capture_output=True, text=True, timeout=DEADLINE, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return folder, *(json.loads((folder / f"{rank}.json").read_text()) for rank in range(2))


@pytest.mark.parametrize("loss", ["drsl", "triplet"])
def test_two_ranks_are_one_process_with_twice_the_batch(results, loss):
    """Two epochs, so that wrong gradients would have come back into the losses."""
    _, *both = results
    alone = reid_ranks.linear(None, loss, per_batch=2 * reid_ranks.P, epochs=2)
    for found in both:
        found = found[loss]
        for key, wanted in alone["weights"].items():
            got = torch.tensor(found["weights"][key], dtype=torch.float64)
            wanted = torch.tensor(wanted, dtype=torch.float64)
            # float64, sums in another order
            torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-12)
        for got, wanted in zip(found["records"], alone["records"], strict=True):
            assert got["images"] == wanted["images"] and got["steps"] == wanted["steps"]
            for name in ("mAP", "rank1", "lr"):
                assert got[name] == wanted[name]
            for name in (loss, "id"):
                assert got["terms"][name] == pytest.approx(wanted["terms"][name], rel=1e-9)
    assert both[0][loss]["weights"] == both[1][loss]["weights"]


def test_both_ranks_have_the_same_records(results):
    _, first, second = results
    assert first["drsl"]["records"] == second["drsl"]["records"]


def test_one_interrupted_rank_stops_all_and_the_run_goes_on(results):
    folder, *both = results
    assert [found["interrupted"] for found in both] == [
        {"stopped": True, "steps": 3, "classes": 10}
    ] * 2
    same_state(state(folder / "cut"), state(folder / "whole"))
    assert numbers(lines(folder / "cut")) == numbers(lines(folder / "whole"))
    assert len(lines(folder / "cut")) == 3  # written by one of the two
    assert len(checkpoint.load(folder / "cut" / "last.pt")["rng"]) == 2


def test_another_number_of_processes_is_refused(results):
    folder, *_ = results
    same = settings(epochs=3, per_batch=2, id_loss=True)
    with pytest.raises(ValueError, match="processes: 2 there, 1 here"):
        Trainer(fake(), same, folder / "cut", resume=True, quiet=True)
