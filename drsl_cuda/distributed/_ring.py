"""Ring mode: ranks pass their rows around, so that no rank ever holds the whole batch.

A ranking loss needs all of a query's row, which comes in blocks, so the blocks go around again:

  1. positives   distances and cosines of a query's positives (_positives.py); nothing travels
                 where no label is on two ranks
  2. counting    what a row needs to know of the others, added up block by block
  3. gradient    coefficients ∂L/∂d and ∂L/∂cos of a block; its own gradient travels with it

FIDI is a sum over pairs and needs the last only. While a block is in work, the next is on its way.
"""

import torch

from drsl_cuda import _ops
from drsl_cuda.distributed._gather import part, sums_of
from drsl_cuda.distributed._kinds import weight
from drsl_cuda.distributed._ranking import Ranking


def ring(kind, ranks, x, labels, exclude, want):
    """As _gather.gather, in O(G / ranks) rows of memory: sums [5], gradient [.., b, D] or None."""
    gallery_labels = ranks.gather(labels)
    start = ranks.starts[ranks.rank]
    own = torch.arange(start, start + labels.shape[0], device=x.device)
    work = _Pairs if kind.name == "fidi" else Ranking
    work = work(kind, ranks, x, labels, gallery_labels, own, exclude, want)
    gradient = _gradient(ranks, x, work) if want else None
    count = weight(kind, labels, gallery_labels, own, exclude) * x.shape[:-2].numel()
    return sums_of(work.loss, count, work.terms), gradient


def _gradient(ranks, x, work):
    """Both sides' gradient of this rank's rows; that of the other ranks' travels on to them."""
    total, shift = 0, None
    for owner, block in ranks.blocks(x):
        of_x, of_block = work.gradients(owner, block)
        total = total + of_x
        if shift is not None:
            of_block = shift.wait() + of_block
        shift = ranks.shift(of_block.contiguous(), (owner - 1) % ranks.size)
    return work.outer(total + shift.wait())


class _Pairs:
    """FIDI: a block at a time by the operator that all else is done by, forward with backward."""

    def __init__(self, kind, ranks, x, labels, gallery_labels, own, exclude, want):
        self.kind, self.ranks, self.x = kind, ranks, x
        self.labels, self.gallery_labels, self.own = labels, gallery_labels, own
        self.exclude = exclude
        self.loss = x.new_zeros((), dtype=_ops.accumulation(x.dtype))
        self.terms = self.loss.new_zeros(3)
        if not want:
            for owner, block in ranks.blocks(x):
                self._add(owner, block, False)

    def gradients(self, owner, block):
        return self._add(owner, block, True)

    def _add(self, owner, block, want):
        here = slice(*self.ranks.starts[owner : owner + 2])
        own = self.own - here.start
        if owner != self.ranks.rank:
            own = torch.full_like(own, -1)
        exclude = None if self.exclude is None else self.exclude[:, here]
        problem = (self.x, self.labels, block, self.gallery_labels[here], own, exclude)
        loss, terms, *gradients = part(self.kind, problem, want)
        self.loss, self.terms = self.loss + loss, self.terms + terms
        return gradients

    def outer(self, gradient):
        return gradient
