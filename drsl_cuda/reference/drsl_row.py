"""One query's row of distances and cosines: DRSL's errors, how they are shared out, the gradient.

For one query, i and j run over its positives P or negatives N, x_ij = d_i - d_j, y = (1 + cos)/2:

    H_ij = clamp(x_ij / (2 delta) + 1/2, 0, 1), or [x_ij >= 0] for delta = 0
    rank+(i) = sum_{j in P} H_ij with H_ii = 1        rank(i) = rank+(i) + N_FP(i)

    ranking  l_R(i) = N_FP(i) / rank(i),  N_FP(i) = sum_{j in N} H_ij
    sorting  l_S(i) = sum_{j in P} H_ij (1 - y_j) / rank+(i), and l_S*(i) the same over y_j >= y_i
    angle    l_A(i) = l_S(i)

An error is shared out to those who caused it, the primary terms:

    R_ij = H_ij / rank(i)                                                           j in N
    S_ij = (l_S(i) - l_S*(i)) H_ij [y_j < y_i] / sum_{k in P} H_ik [y_k < y_i]      j in P
"""

from typing import NamedTuple

import torch
from torch import Tensor

from drsl_cuda import _check
from drsl_cuda.reference.problem import Problem, problem
from drsl_cuda.reference.rows import accumulated
from drsl_cuda.reference.turns import in_turns


class Hats(NamedTuple):
    """What the surrogate holds fixed, N the largest number of positives of a query."""

    ranking: Tensor  # [..., B, N, G]  R_ij = H_ij / rank(i), j a negative
    sorting: Tensor  # [..., B, N, N]  S_ij: i's sorting error, shared out to j that sort worse
    angle: Tensor  # [..., B, N, N]  H_ij / rank+(i), j a positive
    errors: Tensor  # [..., B, N, 3]  l_R, l_S - l_S*, l_A of positive i


def rank_sort(
    distance: Tensor,
    cosine: Tensor,
    labels: Tensor,
    gallery_labels: Tensor | None = None,
    *,
    self_index: Tensor | None = None,
    exclude: Tensor | None = None,
    delta: float = 0.5,
    rank_weight: float = 1.0,
    sort_weight: float = 1.0,
    angle_weight: float = 1.0,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """DRSL of each query and its gradient, from given distances and cosines [B, G] or [S, B, G].

    Returns the loss [..., B]; the ranking, sorting and angle errors, unweighted, [..., B, 3]; and
    the derivatives of each query's own loss by distance and by cosine, [..., B, G]:

        dloss/dd_i   =  (1/n) (w_R l_R(i) + w_S sum_j S_ij - w_S sum_k S_ki)      i positive
        dloss/dd_j   = -(1/n)  w_R sum_i R_ij                                     j negative
        dloss/dcos_j = -(1/n)  w_A sum_i H_ij / rank+(i) / 2                      j positive

    Nothing here is differentiable. A query that compares with NaN or infinity is NaN in all of it.
    """
    distance, cosine, p = _rows_problem(
        distance, cosine, labels, gallery_labels, self_index, exclude
    )
    weights = settings(delta, rank_weight, sort_weight, angle_weight)
    distance, cosine = distance.detach(), cosine.detach()
    usable = distance.isfinite() & cosine.isfinite()
    distance, cosine = torch.where(usable, distance, 0), torch.where(usable, cosine, 0)
    results = in_turns(_loss_and_gradient, distance, cosine, p, delta, weights)
    bad = p.bad(usable)
    compared = bad[..., None] & p.left
    masks = bad, bad[..., None], compared, compared
    return tuple(
        result.masked_fill(mask, torch.nan) for result, mask in zip(results, masks, strict=True)
    )


def drsl_surrogate(
    distance: Tensor,
    cosine: Tensor,
    labels: Tensor,
    gallery_labels: Tensor | None = None,
    *,
    self_index: Tensor | None = None,
    exclude: Tensor | None = None,
    delta: float = 0.5,
    rank_weight: float = 1.0,
    sort_weight: float = 1.0,
    angle_weight: float = 1.0,
    hats: Hats | None = None,
) -> Tensor:
    """The function of distances and cosines whose true gradient DRSL takes for its own, [..., B].

        (1/n) sum_i  w_R sum_{j in N} R_ij (d_i - d_j) + w_S sum_{j in P} S_ij (d_i - d_j)
                   + w_A sum_{j in P} H_ij (1 - y_j) / rank+(i)

    R, S and H / rank+ are constants: `hats`, or else what `drsl_hats` gives at this very point.
    It is affine in distance and cosine; its value is not the loss. Everything must be finite.
    """
    distance, cosine, p = _rows_problem(
        distance, cosine, labels, gallery_labels, self_index, exclude
    )
    weights = settings(delta, rank_weight, sort_weight, angle_weight)
    if hats is None:
        hats = hats_at(distance, cosine, p, delta)
    return surrogate_at(distance, cosine, p, hats, weights)


def drsl_hats(
    distance: Tensor,
    cosine: Tensor,
    labels: Tensor,
    gallery_labels: Tensor | None = None,
    *,
    self_index: Tensor | None = None,
    exclude: Tensor | None = None,
    delta: float = 0.5,
) -> Hats:
    """What the surrogate holds fixed, taken at these distances and cosines."""
    distance, cosine, p = _rows_problem(
        distance, cosine, labels, gallery_labels, self_index, exclude
    )
    settings(delta)
    return hats_at(distance, cosine, p, delta)


def settings(delta, rank_weight=1.0, sort_weight=1.0, angle_weight=1.0):
    """The three weights, everything checked."""
    _check.number("delta", delta, low=0)
    return (
        _check.number("rank_weight", rank_weight),
        _check.number("sort_weight", sort_weight),
        _check.number("angle_weight", angle_weight),
    )


def _rows_problem(distance, cosine, labels, gallery_labels, self_index, exclude):
    distance, cosine, *rest = _check.distance_problem(
        distance, cosine, labels, gallery_labels, self_index, exclude
    )
    return accumulated(distance), accumulated(cosine), problem(*rest)


def _step(x: Tensor, delta: float) -> Tensor:
    """H_delta(x) = clamp(x / (2 delta) + 1/2, 0, 1), or [x >= 0] for delta = 0."""
    if delta == 0:
        return (x >= 0).to(x.dtype)
    return (x / max(2 * delta, torch.finfo(x.dtype).tiny)).add_(0.5).clamp_(0, 1)


@torch.no_grad()
def hats_at(d: Tensor, cosine: Tensor, p: Problem, delta: float) -> Hats:
    """The primary terms at distances and cosines [..., B, G], zeros on padding."""
    d_i, y = p.at_positives(d), (1 + p.at_positives(cosine)) / 2  # [..., B, N]
    y_i, y_j = y[..., :, None], y[..., None, :]
    i_is, j_is = p.valid[:, :, None], p.valid[:, None, :]
    itself = torch.eye(p.valid.shape[-1], dtype=torch.bool, device=d.device)

    h = _step(d_i[..., :, None] - d_i[..., None, :], delta) * j_is  # [..., B, N, N]
    h = h.masked_fill(itself, 1) * i_is
    h_negative = _step(d_i[..., :, None] - d[..., None, :], delta)  # [..., B, N, G]
    h_negative.mul_(p.negative[:, None, :])
    rank_positive = h.sum(-1, keepdim=True).clamp(min=1)  # 0 only on padding
    false_positive = h_negative.sum(-1, keepdim=True)
    rank = rank_positive + false_positive

    target = h * (y_j >= y_i)
    worse = h * (y_j < y_i)
    sort = (h * (1 - y_j)).sum(-1, keepdim=True) / rank_positive
    sort_target = (target * (1 - y_j)).sum(-1, keepdim=True) / target.sum(-1, keepdim=True).clamp(
        min=1
    )
    worse_mass = worse.sum(-1, keepdim=True)
    share = worse / torch.where(worse_mass > 0, worse_mass, 1)
    excess = sort - sort_target
    return Hats(
        ranking=h_negative * (i_is / rank),
        sorting=excess * share,
        angle=h / rank_positive,
        errors=torch.cat([false_positive / rank, excess, sort], dim=-1) * i_is,
    )


def surrogate_at(d: Tensor, cosine: Tensor, p: Problem, hats: Hats, weights) -> Tensor:
    """The frozen surrogate of each query [..., B], differentiable in d and cosine [..., B, G]."""
    d_i, y_i = p.at_positives(d), (1 + p.at_positives(cosine)) / 2
    ranking = (hats.ranking * (d_i[..., :, None] - d[..., None, :])).sum((-1, -2))
    sorting = (hats.sorting * (d_i[..., :, None] - d_i[..., None, :])).sum((-1, -2))
    angle = (hats.angle * (1 - y_i)[..., None, :]).sum((-1, -2))
    total = weights[0] * ranking + weights[1] * sorting + weights[2] * angle
    return total / p.count.clamp(min=1)


def mean_errors(hats: Hats, p: Problem) -> Tensor:
    """The errors of each query, unweighted, as means over its positives: [..., B, 3]."""
    return hats.errors.sum(-2) / p.count.clamp(min=1)[:, None]


def _loss_and_gradient(d, cosine, p, delta, weights):
    """The results of rank_sort, for finite d and cosine."""
    hats = hats_at(d, cosine, p, delta)
    terms = mean_errors(hats, p)
    loss = (terms * terms.new_tensor(weights)).sum(-1)
    share = 1 / p.count.clamp(min=1)[:, None].to(d.dtype)
    w_rank, w_sort, w_angle = (weight * share for weight in weights)

    by_positive = w_rank * hats.errors[..., 0]
    by_positive = by_positive + w_sort * (hats.sorting.sum(-1) - hats.sorting.sum(-2))
    by_distance = -w_rank * hats.ranking.sum(-2)  # negatives; the positives are 0 so far
    where = p.columns.expand(by_positive.shape)  # padding adds zeros to column 0
    by_distance = by_distance.scatter_add(-1, where, by_positive)
    by_cosine = torch.zeros_like(d).scatter_add(-1, where, -w_angle * hats.angle.sum(-2) / 2)
    return loss, terms, by_distance, by_cosine
