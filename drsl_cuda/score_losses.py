"""Losses on scores as modules: parameters are checked once, the rest is drsl_cuda.functional."""

import torch

from drsl_cuda import _check, functional

__all__ = ["ALRPLoss", "APLoss", "RankSortLoss"]


class ScoreLoss(torch.nn.Module):
    """What losses on scores share. A subclass names its parameters."""

    _parameters_of_loss = ("delta",)

    def __init__(self, delta, backend):
        super().__init__()
        self.delta = _check.number("delta", delta, low=0.0)
        self.backend = _check.choice("backend", backend, functional.BACKENDS)

    def _options(self):
        return {name: getattr(self, name) for name in (*self._parameters_of_loss, "backend")}

    def extra_repr(self):
        return ", ".join(f"{name}={value!r}" for name, value in self._options().items())


class RankSortLoss(ScoreLoss):
    """Rank & Sort: positives ahead of negatives, and sorted among themselves by their targets.

    >>> ranking, sorting = RankSortLoss()(scores, targets)   # [N], [N]: IoU > 0, 0, or -1: ignored
    >>> (ranking + sorting).backward()

    Arguments are those of drsl_cuda.functional.rank_sort_loss.
    """

    def __init__(self, delta=0.5, backend="auto"):
        super().__init__(delta, backend)

    def forward(self, scores, targets):
        return functional.rank_sort_loss(scores, targets, **self._options())


class APLoss(ScoreLoss):
    """AP loss: average precision as an error, driven to 0 by ranking positives ahead of negatives.

    >>> APLoss()(scores, targets).backward()    # [N], [N]: 1, 0, or -1: ignored

    Arguments are those of drsl_cuda.functional.ap_loss.
    """

    _parameters_of_loss = ("delta", "interpolated")

    def __init__(self, delta=1.0, interpolated=True, backend="auto"):
        super().__init__(delta, backend)
        self.interpolated = _check.flag("interpolated", interpolated)

    def forward(self, scores, targets):
        return functional.ap_loss(scores, targets, **self._options())


class ALRPLoss(ScoreLoss):
    """aLRP: AP loss in which a positive also answers for the localisation of those ahead of it.

    >>> loss, rank, order = ALRPLoss()(scores, targets, regression_losses)

    regression_losses has a number for each positive, from left to right; rank and order are what
    the regression loss is to be weighted by. Arguments are those of drsl_cuda.functional.alrp_loss.
    """

    def __init__(self, delta=1.0, backend="auto"):
        super().__init__(delta, backend)

    def forward(self, scores, targets, regression_losses):
        return functional.alrp_loss(scores, targets, regression_losses, **self._options())
