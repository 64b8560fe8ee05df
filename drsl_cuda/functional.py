"""Losses as functions. The classes in drsl_cuda.losses hold their parameters; these take them all.

Every function checks its arguments, then runs natively or through drsl_cuda.reference.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor

from drsl_cuda import _check, _memory, _ops, _scores, reference
from drsl_cuda._backend import BACKENDS, runs_natively
from drsl_cuda._embedding_losses import (
    REDUCTIONS,
    batch_hard_triplet_loss,
    drsl_loss,
    fidi_loss,
    smooth_ap_loss,
)
from drsl_cuda._types import Backend

__all__ = [
    "BACKENDS",
    "REDUCTIONS",
    "alrp_loss",
    "ap_loss",
    "batch_hard_triplet_loss",
    "drsl_loss",
    "fidi_loss",
    "pairwise_distance_angle",
    "rank_sort_loss",
    "smooth_ap_loss",
]

_Result = TypeVar("_Result")


def pairwise_distance_angle(x: Tensor, r: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Euclidean distance and cosine similarity of all pairs, in one pass.

    x [B, D] or [S, B, D]; r [G, D] or [S, G, D], or None: x against itself, half the work, with a
    diagonal of exact zeros. Returns (distance, cosine), [.., B, G] each, in float32 for half
    precision inputs. Differentiable once; the derivative is 0 where d = 0 and of rows of length 0.
    """
    x, r = _check.pair(x, r)
    if x.device.type not in _ops.DEVICES[_ops.PAIRWISE]:
        return reference.pairwise_distance_angle(x, r)
    pairs = x.numel() // x.shape[-1] * (x if r is None else r).shape[-2]
    wanted = partial(_memory.of_pairs, x, r)
    return _memory.run(pairs, wanted, x.device, _ops.PAIRWISE, x, r, _ops.tf32(x))


def rank_sort_loss(
    scores: Tensor, targets: Tensor, delta: float = 0.5, *, backend: Backend = "auto"
) -> tuple[Tensor, Tensor]:
    """Rank & Sort: (ranking error, sorting error) of scores, means over the positives.

    scores   [N], or [S, N] for S independent problems; -inf masks a negative
    targets  the same shape: > 0 for positives (how good they are), 0 for negatives, < 0: ignored
    delta    half the width of the smoothed step; 0 is the exact step
    backend  "auto", "native" or "reference"

    Each of the two has a gradient of its own. Results are 0-dim, or [S], in float32 for half
    precision scores. Without positives they are 0; a NaN or +inf that takes part makes them NaN.
    """
    scores, targets, delta = _scores_and_width(scores, targets, delta)
    if not runs_natively(_ops.RANK_SORT_LOSS, scores.device.type, backend):
        return reference.rank_sort_loss(scores, targets, delta)
    return _of_scores(_scores.rank_sort_loss, scores, targets, delta)


def ap_loss(
    scores: Tensor,
    targets: Tensor,
    delta: float = 1.0,
    interpolated: bool = True,
    *,
    backend: Backend = "auto",
) -> Tensor:
    """AP loss: 1 - average precision of the positives, targets > 0, among the negatives, 0.

    interpolated: precision never falls from a positive to one that ranks lower, as in the authors'
    code. All else is as in rank_sort_loss.
    """
    _check.flag("interpolated", interpolated)
    scores, targets, delta = _scores_and_width(scores, targets, delta)
    if not runs_natively(_ops.AP_LOSS, scores.device.type, backend):
        return reference.ap_loss(scores, targets, delta, interpolated)
    return _of_scores(_scores.ap_loss, scores, targets, delta, interpolated)


def alrp_loss(
    scores: Tensor,
    targets: Tensor,
    regression_losses: Tensor,
    delta: float = 1.0,
    *,
    backend: Backend = "auto",
) -> tuple[Tensor, Tensor, Tensor]:
    """aLRP: (loss, rank, order). The loss is 1 - average precision, its gradient aLRP's.

    regression_losses  [n], a number for each positive, from left to right. On a CPU n is checked
    rank               [n] each positive's rank among all, in the same order
    order              [n] places of the positives in that order, from lowest to highest score

    With sets all three are [S, N], and only positives count: rank is 0 elsewhere, order holds their
    columns and then -1. No gradient goes to regression_losses or comes from rank and order. All
    else is as in rank_sort_loss.
    """
    scores, targets, delta = _scores_and_width(scores, targets, delta)
    regression_losses = _check.regression_losses(regression_losses, scores, targets)
    if not runs_natively(_ops.ALRP_LOSS, scores.device.type, backend):
        return reference.alrp_loss(scores, targets, regression_losses, delta)
    return _of_scores(_scores.alrp_loss, scores, targets, regression_losses, delta)


def _scores_and_width(
    scores: Tensor, targets: Tensor, delta: float
) -> tuple[Tensor, Tensor, float]:
    """Checked. No ramp is narrower than the smallest normal number: its slope would not be one."""
    delta = _check.number("delta", delta, low=0.0)
    scores, targets = _check.score_problem(scores, targets)
    return scores, targets, max(delta, torch.finfo(scores.dtype).tiny) if delta else delta


def _of_scores(loss: Callable[..., _Result], scores: Tensor, *rest: Any) -> _Result:
    wanted = partial(_memory.of_scores, scores)
    return _memory.run(scores.numel(), wanted, scores.device, loss, scores, *rest)
