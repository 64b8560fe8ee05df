"""How far a result may be from the oracle's: what the contract's errors of d and cos can do to it.

The contract bounds the error of each distance and cosine. A loss carries it on: a ramp of width 2δ makes
ε/2δ of it, a comparison may come out either way where two sides are within ε. So the allowance of a
query follows from its own row of distances and cosines, and where nothing is in doubt it is a few
roundings. `Row` holds absolute errors:

    loss       of the query's loss
    distance   of all its ∂loss/∂d together, beside a few roundings of each
    cosine     of all its ∂loss/∂cos together, likewise
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from oracle_metric import counts_as_zero, norms
from tolerances import F64, accumulation_name


class Row(NamedTuple):
    loss: float
    distance: float
    cosine: float


@dataclass(frozen=True)
class Errors:
    """Of a type: relative error of d, absolute error of d between unit rows and of cos, of a sum."""

    distance: float
    unit_distance: float
    cosine: float
    sum: float


# d: from a Gram product wherever d² > (|x|² + |r|²)/32, so 32 roundings of a sum of D ≤ 40 terms; the
# contract says 1e-5. Unit rows are rounded themselves: 2 ulp absolute. cos: the dot product's rounding.
FLOAT64 = Errors(distance=1e-13, unit_distance=2e-15, cosine=1e-14, sum=1e-12)
FLOAT32 = Errors(distance=1e-5, unit_distance=5e-7, cosine=2e-6, sum=2e-5)


def errors_of(dtype):
    return FLOAT64 if dtype == F64 else FLOAT32


def rows(problem, distance, cosine, equal, sides):
    """[B] Row of each query of one set.

    distance, cosine [B, G]   the oracle's
    equal            [G]      numbers of gallery rows: equal ones are equal bit by bit
    sides            [B]      (positives, negatives), as the oracle has them; empty where it is bad
    """
    errors = errors_of(problem.x.dtype)
    rule = RULES[problem.loss]
    off = errors.distance * distance + errors.unit_distance * problem.normalize
    return [
        rule(distance[q], cosine[q], off[q], equal, p, n, errors, **problem.options)
        if len(p) + len(n)
        else Row(0.0, 0.0, 0.0)
        for q, (p, n) in enumerate(sides)
    ]


def drsl(d, cos, off, equal, p, n, errors, delta, rank_weight, sort_weight, angle_weight):
    if len(p) == 0:
        return Row(0.0, 0.0, 0.0)
    everyone = np.concatenate([p, n])
    same = equal[p][:, None] == equal[everyone]
    x = d[p][:, None] - d[everyone]
    doubt = off[p][:, None] + off[everyone]
    # What H may be off by: all of it where the step is hard, ε/2δ on a ramp, no more than 1.
    if delta == 0:
        h = np.where(np.abs(x) <= doubt, 1.0, 0.0)
    else:
        h = np.where(np.abs(x) <= delta + doubt, np.minimum(1.0, doubt / (2 * delta)), 0.0)
    h = np.where(same, 0.0, h)
    y = cos[p]
    # Angles: of rows that are equal, and of rows without one, they are equal exactly.
    tied = (np.abs(y[:, None] - y) <= 2 * errors.cosine) & (equal[p][:, None] != equal[p])
    tied &= ~((y[:, None] == 0) & (y == 0))
    weight = abs(rank_weight) + abs(sort_weight) + abs(angle_weight)
    slack = 4 * weight * np.minimum(1.0, h.sum(1)).mean()
    if sort_weight:
        slack += 4 * abs(sort_weight) * np.minimum(1.0, tied.sum(1)).mean()
    slack += weight * (errors.sum + errors.cosine)
    return Row(slack, slack, slack)


def fidi(d, cos, off, equal, p, n, errors, alpha, beta):
    # Costs up to log(α/(α−1)) a pair, of which β ε is in doubt; the mean over pairs comes later.
    size = (1 + np.log(alpha / (alpha - 1))) * (1 + 1 / (alpha - 1))
    doubt = np.minimum(1.0, beta * off[np.concatenate([p, n])])
    doubt = np.where(beta * d[np.concatenate([p, n])] > 100, 0.0, doubt) + errors.sum
    total = size * doubt.sum()
    return Row(total, beta * total, 0.0)


def smooth_ap(d, cos, off, equal, p, n, errors, temperature, include_self):
    doubt = min(1.0, 4 * errors.cosine / temperature) + errors.sum
    return Row(doubt, 0.0, doubt / temperature)


def batch_hard_triplet(d, cos, off, equal, p, n, errors, margin):
    if len(p) == 0 or len(n) == 0:
        return Row(0.0, 0.0, 0.0)
    far, near = p[np.argmax(d[p])], n[np.argmin(d[n])]
    excess, doubt = d[far] - d[near], off[far] + off[near]
    # Another entry than the hardest may seem the hardest, if it is not a copy of it.
    jump = ((d[far] - d[p] <= off[far] + off[p]) & (equal[p] != equal[far])).any()
    jump |= ((d[n] - d[near] <= off[near] + off[n]) & (equal[n] != equal[near])).any()
    if margin is None:
        slack = min(1.0, doubt) + errors.sum
    else:
        edge = margin + excess
        slack = 2.0 if abs(edge) <= 2 * doubt + errors.sum * margin else errors.sum
    loss = 2 * doubt + errors.sum * ((margin or 1.0) + abs(excess))
    return Row(loss, 2.0 if jump else slack, 0.0)


RULES = {
    "drsl": drsl,
    "fidi": fidi,
    "smooth_ap": smooth_ap,
    "batch_hard_triplet": batch_hard_triplet,
}


class Gradient(NamedTuple):
    """What may be wrong with rows of gradients, [B] and [G] (None without a gallery)."""

    x: np.ndarray
    gallery: np.ndarray | None


def gradient(problem, allowed, result, weight, x, gallery, distance):
    """The allowance of each gradient row of one set.

    allowed [B] Row;  result: the oracle's of this set;  weight [B]: what queries are multiplied by;
    x, gallery: the rows that distances were taken of (unit rows if normalising).

    ∂d/∂x is a unit vector, known to the contract's error and not at all where d is below the smallest
    normal number; ∂cos/∂x is made of parts of length 1/|x| and 1/|r|, whatever cancels between them.
    """
    errors, type_name = errors_of(problem.x.dtype), accumulation_name(problem.x.dtype)
    tiny, least = np.finfo(type_name).tiny, float(np.finfo(type_name).smallest_subnormal)
    r = x if gallery is None else gallery
    compared = result.compared & ~result.bad[:, None]
    by_d, by_cos = (
        np.where(compared, np.abs(g), 0.0) for g in (result.grad_distance, result.grad_cosine)
    )
    with np.errstate(all="ignore"):
        direction = np.where(
            distance < 2 * tiny,
            1.0,
            errors.sum + errors.unit_distance * problem.normalize / distance,
        )
        direction = np.where(compared, np.minimum(1.0, direction), 0.0)
        lengths = norms(x)[:, None] * norms(r)
        own, other = (np.where(counts_as_zero(v, type_name), 0.0, 1 / norms(v)) for v in (x, r))
        angular = compared & (own[:, None] > 0) & (other > 0)
    parts = np.where(angular, np.maximum(own[:, None], other), 0.0)
    # ∂L/∂cos / |x||r| is a number of the type: of rows so long that it is next to none, digits are lost.
    lost = np.where(angular & (by_cos > 0), np.minimum(by_cos, 2 * least * lengths), 0.0)
    pairs = 2 * by_d * direction + (errors.sum * by_cos + lost) * parts
    slack_d = np.array([row.distance for row in allowed])[:, None] * compared
    slack_c = np.array([row.cosine for row in allowed])[:, None] * parts
    each = np.abs(weight)[:, None] * (pairs + slack_d + slack_c)
    of_x = np.abs(weight) * (
        pairs.sum(1) + slack_d.max(1, initial=0.0) + slack_c.max(1, initial=0.0)
    )
    of_r = each.sum(0)
    return Gradient(of_x + of_r, None) if gallery is None else Gradient(of_x, of_r)
