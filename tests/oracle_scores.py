"""Rank & Sort, AP and aLRP on scores, straight from docs/losses.md: NumPy, float64, one pair at a time.

Shares nothing with drsl_cuda. Results are of one row [N]; a gradient is the one of its loss alone.
"""

from dataclasses import dataclass

import numpy as np


@dataclass
class Row:
    losses: list  # numbers
    gradients: list  # [N] each
    shares: list  # [n, N] each: C_ij, what j is given of positive i's error, before the mean
    rank: np.ndarray | None = None
    order: np.ndarray | None = None


def step(x, delta):
    if delta == 0:
        return 1.0 if x >= 0 else 0.0
    with np.errstate(over="ignore"):
        return min(max(x / (2 * delta) + 0.5, 0.0), 1.0)


def sides(scores, targets):
    """Columns of positives and negatives; whether the row is one of numbers; who takes part."""
    positives = [k for k, t in enumerate(targets) if t > 0]
    negatives = [k for k, t in enumerate(targets) if t == 0 and scores[k] != -np.inf]
    odd = [k for k, t in enumerate(targets) if np.isnan(t)]
    part = positives + negatives + odd
    good = not odd and all(np.isfinite(scores[k]) for k in part)
    good = good and all(np.isfinite(targets[k]) for k in positives)
    return positives, negatives, good, part


def finished(errors, shares, positives, size):
    """Mean errors; and the gradient of (1/n) Σ_ij C_ij (s_j − s_i)."""
    n = len(positives)
    gradient = np.zeros(size)
    for row, i in enumerate(positives):
        gradient += shares[row] / n
        gradient[i] -= shares[row].sum() / n
    return np.mean(errors), gradient


def degenerate(count, positives, part, size):
    """A row without positives, or with something in it that is no number."""
    gradient = np.zeros(size)
    if positives:
        gradient[part] = np.nan
    value = np.float64(np.nan if positives else 0)
    shares = [np.zeros((0, size))] * count
    return Row([value] * count, [gradient] * count, shares)


def rank_sort(scores, targets, delta=0.5):
    s, t = np.asarray(scores, float), np.asarray(targets, float)
    positives, negatives, good, part = sides(s, t)
    if not positives or not good:
        return degenerate(2, positives, part, len(s))
    shares = np.zeros((2, len(positives), len(s)))
    ranking, sorting = [], []
    for row, i in enumerate(positives):
        h = {j: step(s[j] - s[i], delta) for j in positives + negatives}
        rank_positive = sum(h[j] for j in positives)
        false_positive = sum(h[j] for j in negatives)
        rank = rank_positive + false_positive
        ranking.append(false_positive / rank)
        if false_positive > 1e-10:
            for j in negatives:
                shares[0, row, j] = ranking[-1] * h[j] / false_positive

        better = [j for j in positives if t[j] >= t[i]]
        worse = [j for j in positives if t[j] < t[i]]
        current = sum(h[j] * (1 - t[j]) for j in positives) / rank_positive
        target = sum(h[j] * (1 - t[j]) for j in better) / sum(h[j] for j in better)
        sorting.append(current - target)
        mass = sum(h[j] for j in worse)
        if mass > 1e-10:
            for j in worse:
                shares[1, row, j] = sorting[-1] * h[j] / mass
    results = [
        finished(e, c, positives, len(s)) for e, c in zip((ranking, sorting), shares, strict=True)
    ]
    return Row([r[0] for r in results], [r[1] for r in results], list(shares))


def ap(scores, targets, delta=1.0, interpolated=True):
    s, t = np.asarray(scores, float), np.asarray(targets, float)
    positives, negatives, good, part = sides(s, t)
    if not positives or not good:
        return degenerate(1, positives, part, len(s))
    shares = np.zeros((len(positives), len(s)))
    precision = np.zeros(len(positives))
    best = 0.0
    for row in sorted(range(len(positives)), key=lambda row: s[positives[row]]):
        i = positives[row]
        rank_positive = 1 + sum(step(s[j] - s[i], delta) for j in positives if j != i)
        h = {j: step(s[j] - s[i], delta) for j in negatives}
        rank = rank_positive + sum(h.values())
        current = rank_positive / rank
        best = max(best, current)
        precision[row] = best if interpolated else current
        held_back = (1 - best) / (1 - current) if interpolated and best > current else 1.0
        for j in negatives:
            shares[row, j] = h[j] / rank * held_back
    loss, gradient = finished(1 - precision, shares, positives, len(s))
    return Row([loss], [gradient], [shares])


def alrp(scores, targets, regression_losses, delta=1.0):
    """regression_losses [n], one for each positive, from left to right."""
    s, t = np.asarray(scores, float), np.asarray(targets, float)
    positives, negatives, good, part = sides(s, t)
    n = len(positives)
    if not positives or not good:
        row = degenerate(1, positives, part, len(s))
        row.rank, row.order = np.full(n, np.nan), np.arange(n)
        return row
    shares = np.zeros((n, len(s)))
    rank, precision = np.zeros(n), np.zeros(n)
    for row, i in enumerate(positives):
        ahead = {k: step(s[j] - s[i], delta) for k, j in enumerate(positives) if j != i}
        h = {j: step(s[j] - s[i], delta) for j in negatives}
        false_positive = sum(h.values())
        rank_positive = 1 + sum(ahead.values())
        rank[row] = rank_positive + false_positive
        precision[row] = rank_positive / rank[row]
        if false_positive > 1e-5:
            localisation = sum(ahead[k] * regression_losses[k] for k in ahead)
            charge = (localisation + false_positive) / rank[row]
            for j in negatives:
                shares[row, j] = charge * h[j] / false_positive
    loss, gradient = finished(1 - precision, shares, positives, len(s))
    order = np.argsort(s[positives], kind="stable")
    return Row([loss], [gradient], [shares], rank, order)
