"""What a loss module is to the distributed code: an operator's name, its numbers, what counts.

A query (a pair, for FIDI) weighs 1 in a mean if it counts and 0 if it does not; here its weight is
told from labels and masks alone, as docs/losses.md says it.
"""

from typing import Any, NamedTuple

import torch

from drsl_cuda import reference
from drsl_cuda._embedding_losses import TERMS
from drsl_cuda._types import Backend, Reduction
from drsl_cuda.losses import EmbeddingLoss

_ROWS = 2**24  # entries of a block of masks


# What a query with so many positives, of so many entries left, adds to the divisor of a mean.
_COUNTS = {
    "drsl": lambda positives, left: positives > 0,
    "fidi": lambda positives, left: left,
    "smooth_ap": lambda positives, left: positives > 0,
    "batch_hard_triplet": lambda positives, left: (positives > 0) & (left > positives),
}


class Kind(NamedTuple):
    """One loss with its settings."""

    function: str  # in functional and reference: "drsl_loss"
    params: tuple[float, ...]  # as the operator takes them
    options: dict[str, Any]  # as the functions take them
    normalize: bool
    reduction: Reduction
    backend: Backend

    @property
    def name(self):
        return self.function.removesuffix("_loss")

    @property
    def reference(self):
        return getattr(reference, self.function)

    def terms(self, values):
        """The named parts of the loss from the operator's three numbers."""
        named = TERMS[self.name]
        return named(*values[: len(named._fields)])


def kind_of(loss: EmbeddingLoss) -> Kind:
    """The Kind of a loss module of drsl_cuda.losses; TypeError for anything else."""
    function = getattr(getattr(type(loss), "_function", None), "__name__", "")
    if not isinstance(loss, EmbeddingLoss) or function.removesuffix("_loss") not in _COUNTS:
        raise TypeError(
            "loss must be a loss on embeddings from drsl_cuda, such as DRSLLoss(), "
            f"got {type(loss).__name__}"
        )
    options = {field: getattr(loss, field) for field in loss._parameters_of_loss}
    return Kind(
        function,
        tuple(float(value) for value in options.values() if value is not None),
        options,
        loss.normalize,
        loss.reduction,
        loss.backend,
    )


def has_terms(kind: Kind) -> bool:
    return kind.name in TERMS


def weight(kind, labels, gallery_labels, own, exclude=None):
    """How many of these queries (pairs) count, a tensor without a wait for the device.

    labels [b], gallery_labels [G], own [b]: the column that is the query, exclude [b, G] or None.
    """
    return _COUNTS[kind.name](*entries_left(labels, gallery_labels, own, exclude)).sum()


def counts_of(kind, positives, left):
    """Which queries count [b], from their numbers of positives and of entries left."""
    return _COUNTS[kind.name](positives, left) > 0


def entries_left(labels, gallery_labels, own, exclude=None):
    """Of each query: how many positives it has, and how many entries beside itself [b], [b]."""
    if exclude is None:
        ordered = gallery_labels.sort().values
        first = torch.searchsorted(ordered, labels)
        positives = torch.searchsorted(ordered, labels, right=True) - first - 1
        return positives, torch.full_like(positives, gallery_labels.shape[0] - 1)
    positives, left = (torch.zeros_like(labels, dtype=torch.int64) for _ in range(2))
    size = max(1, _ROWS // max(1, gallery_labels.shape[0]))
    for some in (slice(i, i + size) for i in range(0, labels.shape[0], size)):
        seen = (~exclude[some]).scatter(-1, own[some, None], False)
        positives[some] = (seen & (labels[some, None] == gallery_labels)).sum(-1)
        left[some] = seen.sum(-1)
    return positives, left
