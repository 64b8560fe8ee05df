"""Runs checks in processes of one machine: four ranks over Gloo, once, with a deadline.

A check is a function of `World`, called on every rank of its group; an AssertionError on any rank
fails the test of that name. Communication comes first in a check and assertions last, so that one
that fails leaves no rank waiting.
"""

import json
import time
import traceback
from datetime import timedelta

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

RANKS = 4
DEADLINE = 1200  # seconds for all checks, on a slow and busy machine
PATIENCE = timedelta(seconds=150)  # of a collective

CHECKS = {}


def check(world, *cases):
    """Registers a function of (World) or, for each of `cases`, of (World, case)."""

    def register(function):
        for one in cases or [None]:
            name = function.__name__ if one is None else f"{function.__name__}[{one}]"
            assert name not in CHECKS
            CHECKS[name] = world, function, () if one is None else (one,)
        return function

    return register


class World:
    """A group of the first `size` ranks, and this one's place in it."""

    def __init__(self, size, group, rank):
        self.size, self.group, self.rank = size, group, rank

    def mine(self, whole, sizes, dim=-2):
        """This rank's rows of a whole batch; a copy."""
        dim = max(0, whole.dim() + dim) if whole.dim() > 1 else 0
        return whole.split(sizes, dim)[self.rank].clone()


def work(rank, folder, modules):
    """One process: all checks, what came of each into folder/rank.json."""
    for module in modules:
        __import__(module)
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=RANKS, timeout=PATIENCE
    )
    groups = {w: dist.new_group(list(range(w)), timeout=PATIENCE) for w in range(1, RANKS + 1)}
    results = {}
    for name, (size, function, arguments) in CHECKS.items():
        if rank < size:
            try:
                function(World(size, groups[size], rank), *arguments)
                results[name] = None
            except Exception:
                results[name] = traceback.format_exc()
        (folder / f"{rank}.json").write_text(json.dumps(results))
    dist.barrier()  # who leaves first closes connections that others still use


def run_all(folder, modules):
    """{name: {rank: traceback or None}}. Ends every process, whatever they wait for."""
    context = mp.start_processes(
        work, (folder, modules), nprocs=RANKS, join=False, start_method="spawn"
    )
    end = time.monotonic() + DEADLINE
    died = None
    try:
        while time.monotonic() < end and not context.join(timeout=1.0):
            pass
    except Exception as error:  # a process died: say which, fail what it did not get to
        died = str(error)
    finally:
        for process in context.processes:
            if process.is_alive():
                process.kill()
            process.join()
    by_rank = {}
    for rank in range(RANKS):
        path = folder / f"{rank}.json"
        by_rank[rank] = json.loads(path.read_text()) if path.exists() else {}
    lost = died or f"not reached within {DEADLINE} s"
    return {
        name: {rank: by_rank[rank].get(name, lost) for rank in range(size)}
        for name, (size, *_) in CHECKS.items()
    }
