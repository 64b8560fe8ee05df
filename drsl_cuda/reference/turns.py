"""Queries in blocks, so that memory stays bounded."""

from functools import partial

import torch
from torch.utils.checkpoint import checkpoint

# Queries go in blocks of so many pairs (positive, gallery entry), small enough for memory to be
# used again rather than asked for; blocks of up to so many pairs are kept until backward.
BLOCK = 2**22
KEEP = 2**26


def in_turns(work, distance, cosine, p, *settings):
    """work(distance, cosine, p, ...) -> tensors, a block of queries at a time.

    Where all blocks are too much to keep, backward computes each again.
    """
    queries = distance.shape[-2]
    one = max(1, p.columns.shape[-1] * distance.shape[-1] * distance.shape[:-2].numel())
    size = max(1, BLOCK // one)
    if queries <= size:
        return work(distance, cosine, p, *settings)
    if queries * one > KEEP:
        work = partial(checkpoint, work, use_reentrant=False, preserve_rng_state=False)
    blocks = []
    for start in range(0, queries, size):
        some = slice(start, start + size)
        block = distance[..., some, :], cosine[..., some, :], p.rows(some)
        blocks.append(work(*block, *settings))
    # All results but the loss [..., B] have one more dimension than that.
    at = [-1] + [-2] * (len(blocks[0]) - 1)
    return tuple(
        torch.cat(part, dim=dim) for part, dim in zip(zip(*blocks, strict=True), at, strict=True)
    )
