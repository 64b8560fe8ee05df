"""DRSL in float64 NumPy, in plain loops straight from docs/losses.md: obvious first, fast never.

Shares nothing with drsl_cuda, not even torch. Vectorised over the innermost index only. It reports
one result per query (`Result`), from which every reduction, term and gradient follows.

`accumulation` names the type whose limits the contract speaks of ("the smallest normal number",
"overflows"): the arithmetic itself is float64 whatever it says.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np

from oracle_metric import norms, pairwise, redistribute, through_normalisation, unit

__all__ = [
    "drsl",
    "drsl_query",
    "drsl_surrogate",
    "norms",
    "pairwise",
    "partners",
    "rank_sort",
    "redistribute",
    "step",
    "through_normalisation",
    "unit",
    "whole_loss",
]


def step(x, delta):
    """H_δ."""
    if delta == 0:
        return np.where(x >= 0, 1.0, 0.0)
    return np.clip(x / (2 * delta) + 0.5, 0.0, 1.0)


def drsl_query(d, y, positives, negatives, delta, weights):
    """One counting query: (ranking, sorting, angle), ∂loss/∂d [G], ∂loss/∂y [G]."""
    w_rank, w_sort, w_angle = weights
    n = len(positives)
    terms = np.zeros(3)
    grad_d, grad_y = np.zeros(len(d)), np.zeros(len(d))
    miss = 1.0 - y[positives]
    for i in positives:
        h_neg = step(d[i] - d[negatives], delta)
        h_pos = step(d[i] - d[positives], delta)
        h_pos[positives == i] = 1.0
        rank_pos, n_fp = h_pos.sum(), h_neg.sum()
        rank = rank_pos + n_fp

        ranking = n_fp / rank
        sorting = (h_pos * miss).sum() / rank_pos
        ahead = y[positives] >= y[i]
        target = (h_pos * miss)[ahead].sum() / h_pos[ahead].sum()
        terms += (ranking, sorting - target, sorting)

        grad_d[i] += w_rank * ranking
        grad_d[negatives] -= w_rank * h_neg / rank
        below = y[positives] < y[i]
        mass = h_pos[below].sum()
        if mass > 0:
            share = (sorting - target) * h_pos * below / mass
            grad_d[i] += w_sort * share.sum()
            grad_d[positives] -= w_sort * share
        grad_y[positives] -= w_angle * h_pos / rank_pos
    return terms / n, grad_d / n, grad_y / n


def drsl_surrogate(d, y, at_d, at_y, positives, negatives, delta, weights):
    """The frozen surrogate of one query at (d, y), everything under a hat frozen at (at_d, at_y)."""
    w_rank, w_sort, w_angle = weights
    total = 0.0
    for i in positives:
        h_neg = step(at_d[i] - at_d[negatives], delta)
        h_pos = step(at_d[i] - at_d[positives], delta)
        h_pos[positives == i] = 1.0
        rank_pos = h_pos.sum()
        rank = rank_pos + h_neg.sum()
        total += w_rank * np.sum(h_neg / rank * (d[i] - d[negatives]))
        total += w_angle * np.sum(h_pos * (1.0 - y[positives])) / rank_pos

        miss = 1.0 - at_y[positives]
        ahead, below = at_y[positives] >= at_y[i], at_y[positives] < at_y[i]
        excess = (
            np.sum(h_pos * miss) / rank_pos - np.sum((h_pos * miss)[ahead]) / h_pos[ahead].sum()
        )
        if h_pos[below].sum() > 0:
            share = excess * h_pos * below / h_pos[below].sum()
            total += w_sort * np.sum(share * (d[i] - d[positives]))
    return total / len(positives)


def partners(q, labels, gallery_labels, self_index, exclude):
    """Indices of P_q and N_q."""
    left = np.ones(len(gallery_labels), dtype=bool)
    if self_index[q] >= 0:
        left[self_index[q]] = False
    if exclude is not None:
        left &= ~exclude[q]
    same = gallery_labels == labels[q]
    return np.flatnonzero(left & same), np.flatnonzero(left & ~same)


@dataclass(frozen=True)
class Result:
    """Per query; leading axis of sets where the input had one."""

    loss: np.ndarray  # [..., B]
    terms: np.ndarray  # [..., B, 3]
    counts: np.ndarray  # [..., B] bool
    grad_distance: np.ndarray  # [..., B, G]
    grad_cosine: np.ndarray  # [..., B, G], half of ∂loss/∂y
    bad: np.ndarray  # [..., B] bool: counts and is NaN
    compared: np.ndarray  # [..., B, G] bool: the entries that a counting query looks at
    grad_inputs: object  # weights [..., B] -> (gradient of X, gradient of the gallery or None)

    def row_weights(self, reduction):
        """∂(reduced loss)/∂(loss of the query)."""
        if reduction == "mean":
            return np.ones(self.loss.shape) / max(1, self.counts.sum())
        return np.ones(self.loss.shape)

    def reduced(self, reduction):
        return self._reduce(self.loss, reduction)

    def reduced_terms(self, reduction):
        return tuple(self._reduce(self.terms[..., t], reduction) for t in range(3))

    def _reduce(self, value, reduction):
        if reduction == "none":
            return value
        total = value[self.counts].sum()
        return total / max(1, self.counts.sum()) if reduction == "mean" else total

    def grads(self, reduction, upstream=1.0):
        return self.grad_inputs(self.row_weights(reduction) * upstream)


def rank_sort(
    distance,
    cosine,
    labels,
    gallery_labels=None,
    self_index=None,
    exclude=None,
    delta=0.5,
    weights=(1.0, 1.0, 1.0),
):
    """Per query from given d [B, G] and cos [B, G]: loss, terms, ∂/∂d, ∂/∂cos, counts, compared."""
    size, entries = distance.shape
    if gallery_labels is None:
        gallery_labels = labels
        self_index = np.arange(size) if self_index is None else self_index
    elif self_index is None:
        self_index = np.full(size, -1)
    loss, terms = np.zeros(size), np.zeros((size, 3))
    grad_d, grad_cos = np.zeros((size, entries)), np.zeros((size, entries))
    counts, compared = np.zeros(size, bool), np.zeros((size, entries), bool)
    for q in range(size):
        positives, negatives = partners(q, labels, gallery_labels, self_index, exclude)
        if len(positives) == 0:
            continue
        counts[q] = True
        compared[q, positives] = compared[q, negatives] = True
        y = (1.0 + cosine[q]) / 2.0
        if not (np.isfinite(distance[q]) & np.isfinite(y))[compared[q]].all():
            loss[q], terms[q] = np.nan, np.nan
            grad_d[q, compared[q]] = grad_cos[q, compared[q]] = np.nan
            continue
        terms[q], grad_d[q], grad_y = drsl_query(
            distance[q], y, positives, negatives, delta, weights
        )
        loss[q] = np.dot(terms[q], weights)
        grad_cos[q] = grad_y / 2.0
    return loss, terms, grad_d, grad_cos, counts, compared


def drsl(
    x,
    labels,
    gallery=None,
    gallery_labels=None,
    *,
    self_index=None,
    exclude=None,
    delta=0.5,
    weights=(1.0, 1.0, 1.0),
    normalize=False,
    accumulation="float64",
):
    """DRSL on X [B, D] or [S, B, D]."""
    return whole_loss(
        partial(rank_sort, delta=delta, weights=weights), x, labels, gallery, gallery_labels,
        self_index=self_index, exclude=exclude, normalize=normalize, accumulation=accumulation,
    )  # fmt: skip


def whole_loss(
    rows,
    x,
    labels,
    gallery=None,
    gallery_labels=None,
    *,
    self_index=None,
    exclude=None,
    normalize=False,
    accumulation="float64",
    result=Result,
):
    """Any loss on X: rows(distance, cosine, labels, gallery_labels, self_index, exclude) returns per
    query what rank_sort does, result is the Result that knows how to reduce it."""
    options = dict(
        rows=rows,
        result=result,
        self_index=self_index,
        exclude=exclude,
        normalize=normalize,
        accumulation=accumulation,
    )
    if x.ndim == 2:
        return _one_set(x, labels, gallery, gallery_labels, **options)
    sets = [
        _one_set(x[s], labels, None if gallery is None else gallery[s], gallery_labels, **options)
        for s in range(len(x))
    ]

    def grad_inputs(weight):
        pairs = [one.grad_inputs(weight[s]) for s, one in enumerate(sets)]
        grad_r = None if gallery is None else np.stack([pair[1] for pair in pairs])
        return np.stack([pair[0] for pair in pairs]), grad_r

    fields = ("loss", "terms", "counts", "grad_distance", "grad_cosine", "bad", "compared")
    return result(*(np.stack([getattr(s, f) for s in sets]) for f in fields), grad_inputs)


def _one_set(
    x,
    labels,
    gallery,
    gallery_labels,
    *,
    rows,
    result,
    self_index,
    exclude,
    normalize,
    accumulation,
):
    raw_x, raw_r = x, gallery
    if normalize:
        with np.errstate(all="ignore"):
            x = unit(x, accumulation)
            gallery = None if gallery is None else unit(gallery, accumulation)
    distance, cosine = pairwise(x, gallery, accumulation)
    # A pair is bad by its rows even where its distance happens to come out finite.
    r = x if gallery is None else gallery
    bad_pair = ~np.isfinite(x).all(-1)[:, None] | ~np.isfinite(r).all(-1)[None, :]
    bad_pair |= distance > float(np.finfo(accumulation).max)
    distance = np.where(bad_pair, np.nan, distance)
    if gallery is None:
        gallery_labels = None
    loss, terms, grad_d, grad_cos, counts, compared = rows(
        distance, cosine, labels, gallery_labels, self_index, exclude
    )
    bad = counts & np.isnan(loss)

    def grad_inputs(weight):
        keep = ~bad[:, None]
        weight_d = np.where(keep, weight[:, None] * grad_d, 0.0)
        weight_cos = np.where(keep, weight[:, None] * grad_cos, 0.0)
        grad_x, grad_r = redistribute(weight_d, weight_cos, x, gallery, accumulation)
        grad_x[bad] = np.nan
        grad_r[compared[bad].any(axis=0)] = np.nan
        if gallery is None:
            grad_x, grad_r = grad_x + grad_r, None
        if normalize:
            grad_x = through_normalisation(grad_x, raw_x, accumulation)
            if gallery is not None:
                grad_r = through_normalisation(grad_r, raw_r, accumulation)
        return grad_x, grad_r

    return result(loss, terms, counts, grad_d, grad_cos, bad, compared, grad_inputs)
