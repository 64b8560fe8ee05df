"""Ranks and mistakes: an error names what was wrong, on every rank, and no rank waits."""

import time
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist

from distributed_kit import PATIENCE, World, check
from distributed_table import MODES, Layout, compare
from drsl_cuda import DRSLLoss
from drsl_cuda.distributed import distributed_loss
from tolerances import F64


def refused(world, error, match, x, labels, loss=None, **options):
    with pytest.raises(error, match=match):
        distributed_loss(loss or DRSLLoss(), x, labels, group=world.group, **options)


@check(3, *MODES)
def a_mistake_of_one_rank_stops_all(world, mode):
    x, labels = torch.randn(4, 6), torch.arange(4) % 2
    wrong = world.rank == 1
    told = (TypeError, "labels must hold integers") if wrong else (RuntimeError, "rank 1 of")
    refused(world, *told, x, labels.float() if wrong else labels, mode=mode)
    told = (TypeError, "embeddings must be a floating") if wrong else (RuntimeError, "rank 1 of")
    refused(world, *told, None if wrong else x, labels, mode=mode)
    told = (TypeError, "loss must be a loss on emb") if wrong else (RuntimeError, "rank 1 of")
    refused(world, *told, x, labels, torch.nn.ReLU() if wrong else None, mode=mode)


@check(3, *MODES)
def ranks_that_do_not_fit_together_say_so_everywhere(world, mode):
    labels, odd = torch.arange(4) % 2, world.rank == 2
    refused(world, ValueError, r"same D .* \[6, 6, 5\]", torch.randn(4, 5 if odd else 6), labels,
            mode=mode)  # fmt: skip
    x = torch.randn(4, 6)
    refused(world, ValueError, r"same dtype .*float64", x.double() if odd else x, labels, mode=mode)
    refused(world, ValueError, "same number of sets", x[None] if odd else x, labels, mode=mode)
    refused(world, ValueError, "loss, mode and average must be the same", x, labels,
            DRSLLoss(delta=0.1) if odd else None, mode=mode)  # fmt: skip
    if mode == "gather":
        mask = torch.zeros(4, 11 if odd else 12, dtype=torch.bool)
        refused(world, ValueError, "G = 12, .* got 11 columns", x, labels, exclude=mask)
        mask = torch.zeros(4, 13, dtype=torch.bool)
        refused(world, ValueError, "got 13 columns", x, labels, exclude=mask, even=True)


@check(2)
def sizes_are_checked(world):
    x, labels = torch.randn(4, 6), torch.arange(4) % 2
    for sizes, error, match in (
        ([4], ValueError, "sizes must hold 2 numbers"),
        ([4, 4, 4], ValueError, "sizes must hold 2 numbers"),
        ([5, 5], ValueError, "sizes must hold 4, the rows given, at rank"),
        ([4, -1], ValueError, "sizes must hold 2 numbers >= 0"),
        ([4.0, 4.0], TypeError, "sizes must be a list of integers"),
        (4, TypeError, "sizes must be a list of integers"),
    ):
        refused(world, error, match, x, labels, sizes=sizes)
    refused(world, ValueError, "even must be False where", x, labels, sizes=[4, 4], even=True)


@check(4, *MODES)
def a_group_of_some_ranks(world, mode):
    group = dist.new_group([1, 3])
    if world.rank in (1, 3):
        pair = World(2, group, world.rank // 2)
        compare(pair, DRSLLoss(), Layout((5, 8)), F64, mode, 1e-12)
    else:
        outside = World(2, group, None)
        refused(outside, ValueError, "group must be one that this process belongs to", None, None)


@check(4)
def a_rank_that_fails_does_not_hold_the_others_for_ever(world):
    # Last of all: it leaves a broken group behind, one of its own.
    group = dist.new_group()
    dist.barrier(group)
    dist.distributed_c10d._set_pg_timeout(timedelta(seconds=3), group)
    x, labels = torch.randn(4, 6), torch.arange(4) % 2
    if world.rank == 1:
        return  # as if its data loader had raised
    begin = time.monotonic()
    with pytest.raises(RuntimeError):
        distributed_loss(DRSLLoss(), x, labels, group=group)
    assert time.monotonic() - begin < PATIENCE.total_seconds() / 2  # others use the cores too
