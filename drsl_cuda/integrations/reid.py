"""Trainers for re-identification: the losses where a triplet loss is called.

reid-strong-baseline, TransReID, SOLIDER, CLIP-ReID and others make a loss function in loss/make_loss.py
and take element 0 of what their TripletLoss returns:

    triplet = AsTriplet(DRSLLoss())                           # was: TripletLoss(cfg.SOLVER.MARGIN)
    ... triplet(feat, target)[0]

fast-reid calls a function with the settings of its triplet loss:

    triplet_loss = AsTripletFunction(DRSLLoss())
    ... triplet_loss(embedding, targets, margin, norm_feat, hard_mining)

docs/trainers.md has the lines to change in each. Nothing here imports any of them.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import torch
from torch import Tensor

from drsl_cuda import functional
from drsl_cuda._ops import accumulation
from drsl_cuda._types import Reduction
from drsl_cuda.losses import (
    BatchHardTripletLoss,
    DRSLLoss,
    EmbeddingLoss,
    FIDILoss,
    SmoothAPLoss,
)

__all__ = [
    "AsTriplet",
    "AsTripletFunction",
    "BatchHardTripletLoss",
    "DRSLLoss",
    "FIDILoss",
    "SmoothAPLoss",
]


Parts: TypeAlias = list[Tensor] | tuple[Tensor, ...]


class _Adapter(torch.nn.Module):
    def __init__(self, criterion: EmbeddingLoss) -> None:
        super().__init__()
        if not isinstance(criterion, EmbeddingLoss):
            raise TypeError(
                "criterion must be a loss on embeddings, such as DRSLLoss(), "
                f"got {type(criterion).__name__}"
            )
        self.criterion = criterion

    def _loss(self, embeddings: Tensor, labels: Tensor, normalize: bool) -> Tensor:
        if not normalize:
            return self.criterion(embeddings, labels)
        options = self.criterion._options() | {"normalize": True}
        return type(self.criterion)._function(embeddings, labels, **options)


class AsTriplet(_Adapter):
    """AsTriplet(criterion)(feat, target) -> (loss, hardest positive, hardest negative).

    feat    [B, D], or a list of S such tensors (parts), whose mean loss it is. Parts of one shape and
            type are one call on [S, B, D]
    target  [B] identities

    The loss is the criterion's. The other two, [B], are distances to the farthest positive (0 without
    one) and to the nearest negative (inf without one), of parts their mean: numbers for a log, without
    a gradient, and computed when they are looked at. normalize_feature scales rows to unit length.
    """

    def forward(
        self, feat: Tensor | Parts, target: Tensor, normalize_feature: bool = False
    ) -> Sequence[Tensor]:
        parts = list(feat) if isinstance(feat, (list, tuple)) else [feat]
        if not parts:
            raise ValueError("feat must be a tensor or a list of at least one, got an empty list")
        calls = [_stacked(parts)] if len(parts) > 1 and _alike(parts) else parts
        losses = [self._loss(call, target, normalize_feature) for call in calls]
        normalize = normalize_feature or self.criterion.normalize
        return _Result(
            _mean_over_parts(losses, len(parts), self.criterion.reduction),
            [call.detach() for call in calls],
            target,
            normalize,
        )

    if TYPE_CHECKING:  # what torch.nn.Module says of a call is Any

        def __call__(
            self, feat: Tensor | Parts, target: Tensor, normalize_feature: bool = False
        ) -> Sequence[Tensor]: ...


class AsTripletFunction(_Adapter):
    """AsTripletFunction(criterion)(embedding, targets, margin, norm_feat, hard_mining) -> loss.

    norm_feat scales rows to unit length. margin and hard_mining are settings of the triplet loss that
    was there, and mean nothing: the criterion has its own.
    """

    def forward(
        self,
        embedding: Tensor,
        targets: Tensor,
        margin: Any = None,
        norm_feat: bool = False,
        hard_mining: Any = None,
    ) -> Tensor:
        return self._loss(embedding, targets, norm_feat)

    if TYPE_CHECKING:

        def __call__(
            self,
            embedding: Tensor,
            targets: Tensor,
            margin: Any = None,
            norm_feat: bool = False,
            hard_mining: Any = None,
        ) -> Tensor: ...


def _alike(parts: Parts) -> bool:
    """Whether tensors can be stacked without a change; what else there is, the criterion refuses."""
    kinds = {
        (part.shape, part.dtype, part.device) if isinstance(part, torch.Tensor) else None
        for part in parts
    }
    return len(kinds) == 1 and None not in kinds and parts[0].dim() == 2


def _stacked(parts: Parts) -> Tensor:
    with torch.autocast(parts[0].device.type, enabled=False):  # it knows one half type only
        return torch.stack(parts)


def _mean_over_parts(losses: list[Tensor], count: int, reduction: Reduction) -> Tensor:
    """Of one loss for all of `count` parts, or of one for each."""
    if len(losses) > 1:
        return torch.stack(losses).mean(0)
    (loss,) = losses
    if count == 1 or reduction == "mean":  # over all queries of all parts, labelled alike
        return loss
    return loss / count if reduction == "sum" else loss.mean(0)


class _Result(Sequence[Tensor]):
    """(loss, hardest positive, hardest negative), the last two computed when somebody asks."""

    def __init__(self, loss: Tensor, parts: list[Tensor], labels: Tensor, normalize: bool) -> None:
        self._loss, self._parts, self._labels, self._normalize = loss, parts, labels, normalize
        self._distances: tuple[Tensor, Tensor] | None = None

    def __len__(self) -> int:
        return 3

    @overload
    def __getitem__(self, index: int) -> Tensor: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Tensor, ...]: ...
    def __getitem__(self, index: int | slice) -> Tensor | tuple[Tensor, ...]:
        if index in (0, -3):
            return self._loss
        if self._distances is None:
            self._distances = self._hardest()
        return (self._loss, *self._distances)[index]

    def __repr__(self) -> str:
        return repr(tuple(self))

    @torch.no_grad()
    def _hardest(self) -> tuple[Tensor, Tensor]:
        same = self._labels[:, None] == self._labels
        if len(same) == 0:  # no maximum of nothing
            empty = self._parts[0].new_zeros(0, dtype=accumulation(self._parts[0].dtype))
            return empty, empty
        pairs: list[tuple[Tensor, Tensor]] = []
        for part in self._parts:
            if self._normalize:
                part = torch.nn.functional.normalize(part.to(accumulation(part.dtype)), dim=-1)
            distance, _ = functional.pairwise_distance_angle(part)
            distance = distance.view(-1, *same.shape)
            farthest = torch.where(same, distance, 0.0).amax(-1)  # its own is 0
            nearest = torch.where(same, torch.inf, distance).amin(-1)
            pairs += zip(farthest, nearest, strict=True)
        farthest, nearest = (torch.stack(column).mean(0) for column in zip(*pairs, strict=True))
        return farthest, nearest
