"""Losses on scores as modules: parameters are checked once, the rest is drsl_cuda.functional."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from drsl_cuda import _check, functional
from drsl_cuda._types import Backend

__all__ = ["ALRPLoss", "APLoss", "RankSortLoss"]


class ScoreLoss(torch.nn.Module):
    """What losses on scores share. A subclass names its parameters."""

    _parameters_of_loss: tuple[str, ...] = ("delta",)

    def __init__(self, delta: float, backend: Backend) -> None:
        super().__init__()
        self.delta = _check.number("delta", delta, low=0.0)
        self.backend: Backend = _check.choice("backend", backend, functional.BACKENDS)

    def _options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in (*self._parameters_of_loss, "backend")}

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self._options().items())


class RankSortLoss(ScoreLoss):
    """Rank & Sort: positives ahead of negatives, and sorted among themselves by their targets.

    >>> ranking, sorting = RankSortLoss()(scores, targets)   # [N], [N]: IoU > 0, 0, or -1: ignored
    >>> (ranking + sorting).backward()

    Arguments are those of drsl_cuda.functional.rank_sort_loss.
    """

    def __init__(self, delta: float = 0.5, backend: Backend = "auto") -> None:
        super().__init__(delta, backend)

    def forward(self, scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return functional.rank_sort_loss(scores, targets, **self._options())

    if TYPE_CHECKING:  # what torch.nn.Module says of a call is Any

        def __call__(self, scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]: ...


class APLoss(ScoreLoss):
    """AP loss: average precision as an error, driven to 0 by ranking positives ahead of negatives.

    >>> APLoss()(scores, targets).backward()    # [N], [N]: 1, 0, or -1: ignored

    Arguments are those of drsl_cuda.functional.ap_loss.
    """

    _parameters_of_loss = ("delta", "interpolated")

    def __init__(
        self, delta: float = 1.0, interpolated: bool = True, backend: Backend = "auto"
    ) -> None:
        super().__init__(delta, backend)
        self.interpolated = _check.flag("interpolated", interpolated)

    def forward(self, scores: Tensor, targets: Tensor) -> Tensor:
        return functional.ap_loss(scores, targets, **self._options())

    if TYPE_CHECKING:

        def __call__(self, scores: Tensor, targets: Tensor) -> Tensor: ...


class ALRPLoss(ScoreLoss):
    """aLRP: AP loss in which a positive also answers for the localisation of those ahead of it.

    >>> loss, rank, order = ALRPLoss()(scores, targets, regression_losses)

    regression_losses has a number for each positive, from left to right; rank and order are what
    the regression loss is to be weighted by. Arguments are those of drsl_cuda.functional.alrp_loss.
    """

    def __init__(self, delta: float = 1.0, backend: Backend = "auto") -> None:
        super().__init__(delta, backend)

    def forward(
        self, scores: Tensor, targets: Tensor, regression_losses: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        return functional.alrp_loss(scores, targets, regression_losses, **self._options())

    if TYPE_CHECKING:

        def __call__(
            self, scores: Tensor, targets: Tensor, regression_losses: Tensor
        ) -> tuple[Tensor, Tensor, Tensor]: ...
