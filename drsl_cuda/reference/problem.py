"""What a loss on embeddings is about: who is positive, negative, left out, bad, and what counts."""

from typing import NamedTuple

import torch
from torch import Tensor

from drsl_cuda import _check
from drsl_cuda._types import Reduction


class Problem(NamedTuple):
    """Masks of B queries against G gallery entries, and the positives as a padded list.

    The own copy of a query and what is excluded are neither positive nor negative. Row q of
    `columns` holds the n = count[q] columns of q's positives and then zeros, up to the largest n.
    """

    positive: Tensor  # [B, G] bool
    negative: Tensor  # [B, G] bool
    count: Tensor  # type: ignore[assignment]  # [B] positives per query; not tuple.count
    columns: Tensor  # [B, N] where the positives are, N the largest count
    valid: Tensor  # [B, N] bool, false on padding
    counts: Tensor  # [B] bool: whether the query counts

    @property
    def left(self) -> Tensor:
        """[B, G] bool: what the query is compared with."""
        return self.positive | self.negative

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
    include_self: bool = False,
) -> Problem:
    """The problem that labels [B], gallery_labels [G], self_index [B] and exclude [B, G] pose.

    Without gallery_labels the gallery is the batch, and query q's own copy is column q unless
    self_index says otherwise; with them there is no own copy unless self_index says so.

    A query counts when it has a positive. With include_self its own copy joins the positives after
    that was decided, unless the pair is excluded.
    """
    if gallery_labels is None:
        gallery_labels = labels
        if self_index is None:
            self_index = torch.arange(labels.shape[0], device=labels.device)
    same = labels[:, None] == gallery_labels
    own = torch.zeros_like(same)
    if self_index is not None:
        column = torch.arange(gallery_labels.shape[0], device=labels.device)
        own = column == self_index[:, None]
    left = ~own
    if exclude is not None:
        own, left = own & ~exclude, left & ~exclude
    positive, negative = left & same, left & ~same
    counts = positive.any(-1)
    if include_self:
        positive = positive | own

    count = positive.sum(-1)
    most = int(count.max()) if count.numel() else 0
    query, column = positive.nonzero(as_tuple=True)  # ordered by query
    place = torch.arange(len(query), device=labels.device) - (count.cumsum(0) - count)[query]
    columns = torch.zeros(len(count), most, dtype=torch.long, device=labels.device)
    columns[query, place] = column
    valid = torch.arange(most, device=labels.device) < count[:, None]
    return Problem(positive, negative, count, columns, valid, counts)


def reduce(values: Tensor, weight: Tensor, reduction: Reduction) -> Tensor:
    """values [..., B], 0 where weight [B] is 0, as "mean", "sum" or "none".

    weight is how many addends a value is the sum of: 1 for a query that counts, or its number of
    pairs. "none" divides each value by its weight, "mean" the sum by the sum of the weights. Sets
    share the weights.
    """
    _check.choice("reduction", reduction, ("mean", "sum", "none"))
    if reduction == "none":
        return values / weight.clamp(min=1)
    total = values.sum()
    return total if reduction == "sum" else total / weight.expand(values.shape).sum().clamp(min=1)
