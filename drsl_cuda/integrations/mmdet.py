"""mmdetection: the names and calls of the loss functions that detectors there are written against.

In a head of Rank & Sort Loss or aLRP Loss, replace

    from mmdet.models.losses import ranking_losses
with
    from drsl_cuda.integrations import mmdet as ranking_losses

Everything else stays: self.loss_rank = ranking_losses.RankSort(), self.loss_rank.apply(...).
Nothing here imports mmdetection.

Differences that can be seen: targets above 0 are positives in all three (the authors' AP and aLRP
know only 1), an image without positives gives 0 instead of an error, and the two losses of RankSort
have each its own gradient (the authors give both of them to the ranking error, so their sum, which
is what their heads use, has the same gradient).
"""

from torch import Tensor

from drsl_cuda import _check, functional

__all__ = ["APLoss", "RankSort", "aLRPLoss"]


def _only(eps: float, fixed: float) -> None:
    if _check.number("eps", eps) != fixed:
        raise ValueError(f"eps must be {fixed:g}, got {eps}")


class RankSort:
    """RankSort.apply(logits, targets, delta_RS) -> (ranking error, sorting error)."""

    @staticmethod
    def apply(
        logits: Tensor, targets: Tensor, delta_RS: float = 0.50, eps: float = 1e-10
    ) -> tuple[Tensor, Tensor]:
        _only(eps, 1e-10)
        return functional.rank_sort_loss(logits, targets, delta_RS)


class APLoss:
    """APLoss.apply(logits, targets, delta) -> loss."""

    @staticmethod
    def apply(logits: Tensor, targets: Tensor, delta: float = 1.0) -> Tensor:
        return functional.ap_loss(logits, targets, delta)


class aLRPLoss:
    """aLRPLoss.apply(logits, targets, regression_losses, delta) -> (loss, rank, order)."""

    @staticmethod
    def apply(
        logits: Tensor,
        targets: Tensor,
        regression_losses: Tensor,
        delta: float = 1.0,
        eps: float = 1e-5,
    ) -> tuple[Tensor, Tensor, Tensor]:
        _only(eps, 1e-5)
        return functional.alrp_loss(logits, targets, regression_losses, delta)
