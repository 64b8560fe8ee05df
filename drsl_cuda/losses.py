"""Losses as modules: parameters are checked once, the rest is drsl_cuda.functional."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, overload

import torch
from torch import Tensor

from drsl_cuda import _check, functional
from drsl_cuda._types import Backend, Reduction, Terms
from drsl_cuda.terms import DRSLTerms, FIDITerms

__all__ = ["BatchHardTripletLoss", "DRSLLoss", "FIDILoss", "SmoothAPLoss"]


class EmbeddingLoss(torch.nn.Module):
    """What losses on embeddings share. A subclass names its function and adds its parameters."""

    _function: ClassVar[Callable[..., Any]]
    _parameters_of_loss: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, normalize: bool = False, reduction: Reduction = "mean", backend: Backend = "auto"
    ) -> None:
        super().__init__()
        self.normalize = _check.flag("normalize", normalize)
        self.reduction: Reduction = _check.choice("reduction", reduction, functional.REDUCTIONS)
        self.backend: Backend = _check.choice("backend", backend, functional.BACKENDS)

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        gallery: Tensor | None = None,
        gallery_labels: Tensor | None = None,
        *,
        self_index: Tensor | None = None,
        exclude: Tensor | None = None,
        return_terms: bool = False,
    ) -> Tensor | tuple[Tensor, Any]:
        return type(self)._function(
            embeddings,
            labels,
            gallery,
            gallery_labels,
            self_index=self_index,
            exclude=exclude,
            return_terms=return_terms,
            **self._options(),
        )

    if TYPE_CHECKING:  # what torch.nn.Module says of a call is Any
        # fmt: off
        def __call__(
            self, embeddings: Tensor, labels: Tensor, gallery: Tensor | None = None,
            gallery_labels: Tensor | None = None, *, self_index: Tensor | None = None,
            exclude: Tensor | None = None, return_terms: Literal[False] = False,
        ) -> Tensor: ...
        # fmt: on

    def _options(self) -> dict[str, Any]:
        names = (*self._parameters_of_loss, "normalize", "reduction", "backend")
        return {name: getattr(self, name) for name in names}

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self._options().items())


class LossWithTerms(EmbeddingLoss, Generic[Terms]):
    """A loss on embeddings that says what it is made of: return_terms=True gives (loss, terms)."""

    if TYPE_CHECKING:
        # fmt: off
        @overload
        def __call__(
            self, embeddings: Tensor, labels: Tensor, gallery: Tensor | None = None,
            gallery_labels: Tensor | None = None, *, self_index: Tensor | None = None,
            exclude: Tensor | None = None, return_terms: Literal[False] = False,
        ) -> Tensor: ...
        @overload
        def __call__(
            self, embeddings: Tensor, labels: Tensor, gallery: Tensor | None = None,
            gallery_labels: Tensor | None = None, *, self_index: Tensor | None = None,
            exclude: Tensor | None = None, return_terms: Literal[True],
        ) -> tuple[Tensor, Terms]: ...
        @overload
        def __call__(
            self, embeddings: Tensor, labels: Tensor, gallery: Tensor | None = None,
            gallery_labels: Tensor | None = None, *, self_index: Tensor | None = None,
            exclude: Tensor | None = None, return_terms: bool,
        ) -> Tensor | tuple[Tensor, Terms]: ...
        def __call__(self, *arguments: Any, **options: Any) -> Any: ...
        # fmt: on


class DRSLLoss(LossWithTerms[DRSLTerms]):
    """DRSL, reconstructed: rank positives ahead of negatives by distance, sort them by angle.

    >>> loss = DRSLLoss()(embeddings, labels)        # [B, D] features before the BN neck, [B]
    >>> loss.backward()

    A drop-in for a triplet loss: no miner, any number of positives per query. Parameters and the
    arguments of the call are those of drsl_cuda.functional.drsl_loss.
    """

    _function = staticmethod(functional.drsl_loss)
    _parameters_of_loss = ("delta", "rank_weight", "sort_weight", "angle_weight")

    def __init__(
        self,
        delta: float = 0.5,
        rank_weight: float = 1.0,
        sort_weight: float = 1.0,
        angle_weight: float = 1.0,
        normalize: bool = False,
        reduction: Reduction = "mean",
        backend: Backend = "auto",
    ) -> None:
        super().__init__(normalize, reduction, backend)
        self.delta = _check.number("delta", delta, low=0.0)
        self.rank_weight = _check.number("rank_weight", rank_weight)
        self.sort_weight = _check.number("sort_weight", sort_weight)
        self.angle_weight = _check.number("angle_weight", angle_weight)


class FIDILoss(LossWithTerms[FIDITerms]):
    """FIDI: pairs of one identity pulled together, all other pairs pushed apart, by distance.

    Parameters and the arguments of the call are those of drsl_cuda.functional.fidi_loss.
    """

    _function = staticmethod(functional.fidi_loss)
    _parameters_of_loss = ("alpha", "beta")

    def __init__(
        self,
        alpha: float = 1.05,
        beta: float = 0.5,
        normalize: bool = False,
        reduction: Reduction = "mean",
        backend: Backend = "auto",
    ) -> None:
        super().__init__(normalize, reduction, backend)
        self.alpha = _check.number("alpha", alpha, low=1.0, low_open=True)
        self.beta = _check.number("beta", beta, low=0.0, low_open=True)


class SmoothAPLoss(EmbeddingLoss):
    """Smooth-AP: 1 - average precision by cosine, smoothed with a sigmoid.

    Parameters and the arguments of the call are those of drsl_cuda.functional.smooth_ap_loss.
    """

    _function = staticmethod(functional.smooth_ap_loss)
    _parameters_of_loss = ("temperature", "include_self")

    def __init__(
        self,
        temperature: float = 0.01,
        include_self: bool = False,
        normalize: bool = False,
        reduction: Reduction = "mean",
        backend: Backend = "auto",
    ) -> None:
        super().__init__(normalize, reduction, backend)
        self.temperature = _check.number("temperature", temperature, low=0.0, low_open=True)
        self.include_self = _check.flag("include_self", include_self)


class BatchHardTripletLoss(EmbeddingLoss):
    """Batch-hard triplet loss: the farthest positive against the nearest negative.

    Parameters and the arguments of the call are those of drsl_cuda.functional.batch_hard_triplet_loss.
    """

    _function = staticmethod(functional.batch_hard_triplet_loss)
    _parameters_of_loss = ("margin",)

    def __init__(
        self,
        margin: float | None = 0.3,
        normalize: bool = False,
        reduction: Reduction = "mean",
        backend: Backend = "auto",
    ) -> None:
        super().__init__(normalize, reduction, backend)
        self.margin = _check.margin(margin)
