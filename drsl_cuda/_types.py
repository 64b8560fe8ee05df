"""Types that several signatures share."""

from typing import Literal, TypeAlias, TypeVar

from torch import Tensor

Backend: TypeAlias = Literal["auto", "native", "reference"]
Reduction: TypeAlias = Literal["mean", "sum", "none"]
Identities: TypeAlias = list[int] | tuple[int, ...] | set[int] | frozenset[int] | range

# Embeddings, labels, gallery, its labels, self_index, exclude: what losses on embeddings are given.
Problem: TypeAlias = tuple[
    Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None, Tensor | None
]

Terms = TypeVar("Terms")  # DRSLTerms or FIDITerms: what a loss returns beside its number
