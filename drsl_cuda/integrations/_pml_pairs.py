"""Which pairs an indices_tuple of pytorch-metric-learning leaves, as masks and own copies."""

from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from drsl_cuda import functional

# (anchors, positives, negatives), or (anchors, positives, anchors, negatives): as miners give them.
Indices: TypeAlias = tuple[Tensor, ...] | list[Tensor]


class Selection(NamedTuple):
    """What a memory that knows its columns passes in place of an indices_tuple."""

    self_index: Tensor | None  # [B]
    indices_tuple: Indices | None


class Pairs(NamedTuple):
    """A call of a loss in drsl_cuda.functional, and the pairs that it will look at."""

    # embeddings, labels, gallery or None, its labels or None
    problem: tuple[Tensor, Tensor, Tensor | None, Tensor | None]
    self_index: Tensor | None  # [B]
    exclude: Tensor | None  # [B, G] bool
    positive: Tensor  # [B, G] bool
    negative: Tensor  # [B, G] bool


def select(
    embeddings: Tensor,
    labels: Tensor,
    indices_tuple: Indices | Selection | None,
    ref_emb: Tensor,
    ref_labels: Tensor,
    own: bool = False,
) -> Pairs:
    """The pairs of embeddings [B, D] with ref_emb [G, D] that take part; labels are [B] and [G].

    indices_tuple  (anchors, positives, negatives), (anchors, positives, anchors, negatives), a
                   Selection, or None: all pairs
    own            whether to look for each anchor's own copy in ref_emb, if nobody tells. That costs
                   the distances [B, G]; what is left out need not be known as the own copy otherwise
    """
    _all_of("labels", labels)
    _all_of("ref_labels", ref_labels)
    self_index = None
    if isinstance(indices_tuple, Selection):
        self_index, indices_tuple = indices_tuple
    elif ref_labels is labels:  # how pytorch-metric-learning tells that row q of both is one sample
        self_index = torch.arange(len(labels), device=embeddings.device)
    batch = ref_emb is embeddings and ref_labels is labels

    same = labels[:, None] == ref_labels
    left, exclude = torch.ones_like(same), None
    if indices_tuple is not None:
        left = _chosen(indices_tuple, same)
        if own and self_index is None:
            self_index = _own_copies(embeddings, ref_emb, same & ~left)
        exclude = ~left
    if self_index is not None:
        is_own = torch.arange(same.shape[1], device=same.device) == self_index[:, None]
        left = left & ~is_own
        # A loss may count own copies, but nothing that is excluded.
        exclude = None if exclude is None else exclude & ~is_own
    return Pairs(
        (embeddings, labels, *((None, None) if batch else (ref_emb, ref_labels))),
        self_index,
        exclude,
        left & same,
        left & ~same,
    )


def _all_of(name: str, labels: Tensor | None) -> None:
    if labels is None:
        raise ValueError(f"{name} must be given: they say what is positive, got None")


def _chosen(indices_tuple: Indices, same: Tensor) -> Tensor:
    """[B, G] bool: what the tuple lists. Where labels contradict it: ValueError on a CPU, else left out."""
    if not isinstance(indices_tuple, (tuple, list)) or len(indices_tuple) not in (3, 4):
        length = len(indices_tuple) if hasattr(indices_tuple, "__len__") else "no length"
        raise ValueError(
            "indices_tuple must hold 3 tensors (triplets) or 4 (pairs), "
            f"got {type(indices_tuple).__name__} ({length})"
        )
    given = [part.to(same.device, torch.int64) for part in indices_tuple]
    anchors, positives, others, negatives = (
        given if len(given) == 4 else (*given[:2], given[0], given[2])
    )
    positive, negative = torch.zeros_like(same), torch.zeros_like(same)
    positive[anchors, positives] = True
    negative[others, negatives] = True
    if same.device.type == "cpu" and ((positive & ~same).any() or (negative & same).any()):
        raise ValueError(
            "indices_tuple must list pairs of equal labels as positive and pairs of different labels "
            "as negative, got others"
        )
    return (positive & same) | (negative & ~same)


def _own_copies(embeddings: Tensor, ref_emb: Tensor, candidates: Tensor) -> Tensor:
    """[B]: the first of the candidates [B, G] whose row is the anchor's own, bit by bit, or -1."""
    distance, _ = functional.pairwise_distance_angle(embeddings.detach(), ref_emb.detach())
    found = candidates & (distance == 0)
    return torch.where(found.any(1), found.int().argmax(1), -1)
