"""Rank & Sort, AP and aLRP on scores (docs/losses.md), every pair of a positive and an entry formed.

For positive i of a row of scores s, over positives P or negatives N, with x_ij = s_j - s_i:

    H_ij = clamp(x_ij / (2 delta) + 1/2, 0, 1), or [x_ij >= 0] for delta = 0
    N_FP(i) = sum_{j in N} H_ij        rank(i) = rank+(i) + N_FP(i)

An error of i is shared out to those j that caused it, C_ij, and what they are given i is charged
with: the gradient is that of (1/n) sum_ij C_ij (s_j - s_i) with C frozen.
"""

import torch
from torch import Tensor

from drsl_cuda import _check
from drsl_cuda.reference.rows import first_derivative_only

BLOCK = 2**22  # pairs of a positive and an entry that are formed together


def rank_sort_loss(scores: Tensor, targets: Tensor, delta: float = 0.5) -> tuple[Tensor, Tensor]:
    """(ranking error, sorting error) of scores [N] or [S, N], each with its own gradient."""
    delta = _check.number("delta", delta, low=0)
    scores, targets = _check.score_problem(scores, targets)
    scores = first_derivative_only(scores, "rank_sort_loss")
    return _row_by_row(_rank_sort, 2, scores, targets, delta)


def ap_loss(
    scores: Tensor, targets: Tensor, delta: float = 1.0, interpolated: bool = True
) -> Tensor:
    """1 - average precision of scores [N] or [S, N]."""
    delta = _check.number("delta", delta, low=0)
    _check.flag("interpolated", interpolated)
    scores, targets = _check.score_problem(scores, targets)
    scores = first_derivative_only(scores, "ap_loss")
    return _row_by_row(_ap, 1, scores, targets, delta, interpolated)[0]


def alrp_loss(
    scores: Tensor, targets: Tensor, regression_losses: Tensor, delta: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    """(loss, rank, order) of scores [N] or [S, N]; regression_losses, rank, order [n] or [S, N]."""
    delta = _check.number("delta", delta, low=0)
    scores, targets = _check.score_problem(scores, targets)
    regression = _check.regression_losses(regression_losses, scores, targets)
    scores = first_derivative_only(scores, "alrp_loss")
    if scores.dim() == 1:
        (loss,) = _row_by_row(_alrp, 1, scores, targets, delta, regression)
        return loss, *_rank_and_order(scores.detach(), targets, delta)
    losses = []
    rank, order = torch.zeros_like(regression), torch.full_like(regression, -1, dtype=torch.long)
    for s, (row, target) in enumerate(zip(scores, targets, strict=True)):
        (column,) = (target > 0).nonzero(as_tuple=True)
        (loss,) = _row_by_row(_alrp, 1, row, target, delta, regression[s, column])
        losses.append(loss)
        rank[s, column], by_score = _rank_and_order(row.detach(), target, delta)
        order[s, : len(column)] = column[by_score]
    return torch.stack(losses) if losses else scores.sum(-1), rank, order


def _row_by_row(work, count, scores, targets, *settings):
    """The `count` losses of each row, [] or [S]."""
    if scores.dim() == 1:
        return _losses_of_row(work, count, scores, targets, *settings)
    rows = [
        _losses_of_row(work, count, *row, *settings) for row in zip(scores, targets, strict=True)
    ]
    if not rows:
        return tuple(scores.sum(-1) for _ in range(count))
    return tuple(torch.stack(losses) for losses in zip(*rows, strict=True))


def _losses_of_row(work, count, scores, targets, *settings):
    """work(scores, positive, negative, targets, ...) -> errors [n] and gradients [N] of their sums."""
    positive, takes_part, usable = _sides(scores.detach(), targets)
    clean = torch.where(takes_part & usable, scores, 0)
    if not positive.any():
        return tuple(torch.where(positive, clean, 0).sum() for _ in range(count))
    if not usable.all():  # NaN that reaches all that take part, and none of the others
        return tuple(
            torch.where(takes_part, torch.where(takes_part, scores, 0) * torch.nan, 0).sum()
            for _ in range(count)
        )
    with torch.no_grad():
        results = work(clean.detach(), positive, takes_part & ~positive, targets, *settings)
    # At 0, where nothing is large enough to round or overflow.
    at_zero = clean - clean.detach()
    return tuple(
        errors.mean() + (at_zero * gradient).sum() / len(errors) for errors, gradient in results
    )


def _sides(scores, targets):
    """Which entries are positive, which take part, and which of all that do not spoil the row."""
    masked = (targets == 0) & (scores == -torch.inf)
    takes_part = ~(targets < 0) & ~masked
    usable = ~takes_part | (scores.isfinite() & (targets < torch.inf))
    return targets > 0, takes_part, usable


def _rank_sort(s, positive, negative, targets, delta):
    (columns,) = positive.nonzero(as_tuple=True)
    t = targets[columns]
    ranking, sorting = [], []
    by_ranking, by_sorting = torch.zeros_like(s), torch.zeros_like(s)
    for i in _blocks(columns, len(s)):
        h = _step(s - s[i, None], delta)  # [b, N]
        h_p, h_n = h[:, columns], h * negative
        rank_positive, false_positive = h_p.sum(1, keepdim=True), h_n.sum(1, keepdim=True)
        rank = rank_positive + false_positive
        ranking.append(false_positive / rank)
        _share_out(h_n / rank * (false_positive > 1e-10), i, slice(None), by_ranking)

        target = h_p * (t >= targets[i, None])
        worse = h_p * (t < targets[i, None])
        error = (h_p * (1 - t)).sum(1, keepdim=True) / rank_positive
        target_error = (target * (1 - t)).sum(1, keepdim=True) / target.sum(1, keepdim=True)
        sorting.append(error - target_error)
        mass = worse.sum(1, keepdim=True)
        share = torch.where(mass > 1e-10, worse / mass, 0)
        _share_out(sorting[-1] * share, i, columns, by_sorting)
    return (torch.cat(ranking), by_ranking), (torch.cat(sorting), by_sorting)


def _ap(s, positive, negative, targets, delta, interpolated):
    columns, false_positive, rank_positive, _ = _seen(s, positive, negative, delta)
    error = false_positive / (rank_positive + false_positive)
    if interpolated:  # precision does not fall from a positive to one that ranks lower
        by_score = s[columns].argsort(stable=True)
        error[by_score] = error[by_score].cummin(0).values
    gradient = torch.zeros_like(s)
    weight = torch.where(false_positive > 0, error / false_positive, 0)
    for i, w in zip(_blocks(columns, len(s)), _blocks(weight, len(s)), strict=True):
        h_n = _step(s - s[i, None], delta) * negative
        _share_out(w[:, None] * h_n, i, slice(None), gradient)
    return ((error, gradient),)


def _alrp(s, positive, negative, targets, delta, regression):
    columns, false_positive, rank_positive, ahead = _seen(s, positive, negative, delta, regression)
    rank = rank_positive + false_positive
    charge = (ahead + false_positive) / rank
    gradient = torch.zeros_like(s)
    weight = torch.where(false_positive > 1e-5, charge / false_positive, 0)
    for i, w in zip(_blocks(columns, len(s)), _blocks(weight, len(s)), strict=True):
        h_n = _step(s - s[i, None], delta) * negative
        _share_out(w[:, None] * h_n, i, slice(None), gradient)
    return ((false_positive / rank, gradient),)


def _rank_and_order(s, targets, delta):
    """The rank of each positive among all, and the places of the positives by score."""
    positive, takes_part, usable = _sides(s, targets)
    if not usable.all():
        n = int(positive.sum())
        return s.new_full((n,), torch.nan), torch.arange(n, device=s.device)
    s = torch.where(takes_part, s, 0)
    columns, false_positive, rank_positive, _ = _seen(s, positive, takes_part & ~positive, delta)
    return false_positive + rank_positive, s[columns].argsort(stable=True)


def _seen(s, positive, negative, delta, regression=None):
    """The positives' columns [n]; N_FP, rank+ and sum_{j in P, j != i} H_ij r_j of each."""
    (columns,) = positive.nonzero(as_tuple=True)
    regression = s.new_zeros(len(columns)) if regression is None else regression
    seen = []
    for i in _blocks(columns, len(s)):
        h = _step(s - s[i, None], delta)
        others = h[:, columns] * (columns != i[:, None])
        ahead = (others * regression).sum(1)
        seen.append(torch.stack([(h * negative).sum(1), 1 + others.sum(1), ahead]))
    return columns, *torch.cat(seen or [s.new_zeros(3, 0)], dim=1)


def _blocks(values, entries):
    """values [n] in blocks of so many that a block's pairs with all entries fit."""
    return values.split(max(1, BLOCK // max(1, entries)))


def _step(x, delta):
    """H_delta(x)."""
    if delta == 0:
        return (x >= 0).to(x.dtype)
    return (x / max(2 * delta, torch.finfo(x.dtype).tiny)).add_(0.5).clamp_(0, 1)


def _share_out(shares, i, columns, gradient):
    """gradient += the derivative of sum_ij shares_ij (s_j - s_i), shares [b, columns]."""
    gradient[columns] += shares.sum(0)
    gradient[i] -= shares.sum(1)
