"""Losses of whole rows, a tile of a block at a time (the ring's second and third pass).

What a loss needs of a row it collects itself (_rows.py). Here: distances and cosines of a tile,
which come from the operators that all else uses, their gradient, and what NaN and infinity spoil.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from drsl_cuda import _ops, functional, reference
from drsl_cuda.distributed._kinds import counts_of, entries_left
from drsl_cuda.distributed._positives import Positives
from drsl_cuda.distributed._rows import ON_GPU, ROWS
from drsl_cuda.distributed._unit import unit

TILE = 2**20  # pairs of a tile; shapes and kind of device decide, never free memory


class Tile(NamedTuple):
    """t of this rank's queries against the k rows of a block."""

    some: slice  # the queries
    start: int  # of the block, in the whole batch
    distance: Tensor  # [.., t, k], 0 where it is not usable
    cosine: Tensor  # [.., t, k]
    left: Tensor  # [t, k] neither the query itself nor excluded; [1, 1] where that is everyone
    same: Tensor  # [t, k] the positives: left, and of the query's label
    usable: Tensor  # [.., t, k] without NaN, infinity, overflow


class Ranking:
    def __init__(self, kind, ranks, x, labels, gallery_labels, own, exclude, want):
        self.kind, self.ranks, self.x = kind, ranks, x
        self.labels, self.gallery_labels, self.own = labels, gallery_labels, own
        self.exclude = exclude
        self.rows, self.finite = self.prepared(x)
        others, left = entries_left(labels, gallery_labels, own, exclude)
        policy = ROWS[kind.name]
        positives = None
        if policy.needs_positives:
            positives = Positives(self, others, policy.own_is_positive(kind))
        self.policy = policy(kind, self.rows, positives)
        self.bad = torch.zeros(x.shape[:-1], dtype=torch.bool, device=x.device)
        for owner, block in ranks.blocks(x):
            for tile in self._tiles(owner, *self.prepared(block)):
                self.policy.count(tile)
                self.bad[..., tile.some] |= (tile.left & ~tile.usable).any(-1)
        counts = counts_of(kind, others, left)
        self.bad &= counts
        loss, terms = self.policy.finish(counts)
        self.loss = loss.masked_fill(self.bad, torch.nan).sum()
        terms = terms.masked_fill(self.bad[..., None], torch.nan)
        self.terms = terms.reshape(-1, 3).sum(0)

    def prepared(self, block):
        """Rows in the type and of the length to compute with, zeros for those that are not finite."""
        rows = block.to(_ops.accumulation(block.dtype))
        finite = rows.isfinite().all(-1)
        rows = torch.where(finite[..., None], rows, 0)
        return (unit(rows)[0] if self.kind.normalize else rows), finite

    def gradients(self, owner, block):
        """The gradient of the sum of this rank's losses by its own rows, and by the block's."""
        rows, finite = self.prepared(block)
        of_x, of_block = torch.zeros_like(self.rows), torch.zeros_like(rows)
        for tile, sides, pairs in self._pairs(owner, rows, finite):
            bad = self.bad[..., tile.some]
            spoilt = ~tile.usable | bad[..., None]
            coefficients = [c.masked_fill_(spoilt, 0) for c in self.policy.coefficients(tile)]
            of_tile, more = torch.autograd.grad(pairs, sides, coefficients)
            of_x[..., tile.some, :] = of_tile.masked_fill(bad[..., None], torch.nan)
            compared = (tile.left & bad[..., None]).any(-2)
            of_block += more.masked_fill(compared[..., None], torch.nan)
        return of_x, of_block

    def outer(self, gradient):
        """Through the scaling to unit length, if there was one."""
        if not self.kind.normalize:
            return gradient
        x = self.x.to(gradient.dtype)
        _, inverse = unit(torch.where(self.finite[..., None], x, 0))
        along = (gradient * self.rows).sum(-1, keepdim=True) * self.rows
        return (gradient - along) * inverse

    def _tiles(self, owner, rows, finite):
        for tile, _, _ in self._pairs(owner, rows, finite, False):
            yield tile

    def _pairs(self, owner, rows, finite, differentiable=True):
        """(tile, its two sides as leaves, (distance, cosine) that depend on them)."""
        here = slice(*self.ranks.starts[owner : owner + 2])
        queries, k = self.labels.shape[0], rows.shape[-2]
        columns = torch.arange(here.start, here.stop, device=rows.device)
        same_as = self.gallery_labels[here]
        everyone = columns.new_ones((1, 1), dtype=torch.bool)
        module = reference if self.kind.backend == "reference" else functional
        size = TILE * (ON_GPU if rows.is_cuda else 1)
        size = max(1, size // max(1, k * self.x.shape[:-2].numel()))
        for first in range(0, queries if k > 0 else 0, size):
            some = slice(first, first + size)
            sides = [t.detach() for t in (self.rows[..., some, :], rows)]
            with torch.set_grad_enabled(differentiable):
                sides = [t.requires_grad_(differentiable) for t in sides]
                pairs = module.pairwise_distance_angle(*sides)
            distance, cosine = (p.detach() for p in pairs)
            # Rows are finite by now, or zeros in place of such: only d can overflow.
            usable = distance < torch.inf
            usable &= self.finite[..., some, None]
            usable &= finite[..., None, :]
            distance = torch.where(usable, distance, 0)
            left = everyone if self.exclude is None else ~self.exclude[some, here]
            if owner == self.ranks.rank:
                left = left & (self.own[some, None] != columns)
            same = left & (self.labels[some, None] == same_as)
            yield Tile(some, here.start, distance, cosine, left, same, usable), sides, pairs
