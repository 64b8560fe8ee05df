"""What a loss on embeddings is about: who is positive, negative, left out, bad, and what counts."""

from typing import NamedTuple

import torch
from torch import Tensor

from drsl_cuda import _check


class Problem(NamedTuple):
    """Masks of B queries against G gallery entries, and the positives as a padded list.

    The own copy of a query and what is excluded are neither positive nor negative. Row q of
    `columns` holds the n = count[q] columns of q's positives and then zeros, up to the largest n.
    """

    positive: Tensor  # [B, G] bool
    negative: Tensor  # [B, G] bool
    count: Tensor  # [B] positives per query
    columns: Tensor  # [B, N] where the positives are, N the largest count
    valid: Tensor  # [B, N] bool, false on padding

    @property
    def left(self) -> Tensor:
        """[B, G] bool: what the query is compared with."""
        return self.positive | self.negative

    @property
    def counts(self) -> Tensor:
        """[B] bool: whether the query counts."""
        return self.count > 0

    def rows(self, some: slice) -> "Problem":
        """The problem of some of the queries."""
        return Problem(*[part[some] for part in self])

    def at_positives(self, values: Tensor) -> Tensor:
        """values [..., B, G] at the positives: [..., B, N], with any number on padding."""
        shape = values.shape[:-1] + self.columns.shape[-1:]
        return values.gather(-1, self.columns.expand(shape))

    def bad(self, usable: Tensor) -> Tensor:
        """[..., B] bool: queries that count and compare with a pair that is not usable."""
        return (self.left & ~usable).any(-1) & self.counts


def problem(
    labels: Tensor,
    gallery_labels: Tensor | None,
    self_index: Tensor | None,
    exclude: Tensor | None,
) -> Problem:
    """The problem that labels [B], gallery_labels [G], self_index [B] and exclude [B, G] pose.

    Without gallery_labels the gallery is the batch, and query q's own copy is column q unless
    self_index says otherwise; with them there is no own copy unless self_index says so.
    """
    if gallery_labels is None:
        gallery_labels = labels
        if self_index is None:
            self_index = torch.arange(labels.shape[0], device=labels.device)
    same = labels[:, None] == gallery_labels
    left = torch.ones_like(same)
    if self_index is not None:
        column = torch.arange(gallery_labels.shape[0], device=labels.device)
        left = left & (column != self_index[:, None])
    if exclude is not None:
        left = left & ~exclude
    positive, negative = left & same, left & ~same

    count = positive.sum(-1)
    most = int(count.max()) if count.numel() else 0
    query, column = positive.nonzero(as_tuple=True)  # ordered by query
    place = torch.arange(len(query), device=labels.device) - (count.cumsum(0) - count)[query]
    columns = torch.zeros(len(count), most, dtype=torch.long, device=labels.device)
    columns[query, place] = column
    valid = torch.arange(most, device=labels.device) < count[:, None]
    return Problem(positive, negative, count, columns, valid)


def reduce(values: Tensor, counts: Tensor, reduction: str) -> Tensor:
    """values [..., B], 0 where a query does not count, as 'mean' over those that do, 'sum', 'none'.

    Sets share counts [B], so a mean divides by their number times the number of sets.
    """
    _check.choice("reduction", reduction, ("mean", "sum", "none"))
    if reduction == "none":
        return values
    total = values.sum()
    return total if reduction == "sum" else total / counts.expand(values.shape).sum().clamp(min=1)
