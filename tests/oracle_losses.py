"""FIDI, Smooth-AP and the batch-hard triplet in float64 NumPy, straight from docs/losses.md.

One query's loss with its derivatives by d and cos, written out by hand; oracle.py does the rest.
"""

from functools import partial

import numpy as np

import oracle


class PairResult(oracle.Result):
    """A loss that is a sum over pairs: means are over pairs."""

    def row_weights(self, reduction):
        pairs = self.compared.sum(-1)
        if reduction == "none":
            return 1.0 / np.maximum(1, pairs)
        return np.ones(self.loss.shape) / (max(1, pairs.sum()) if reduction == "mean" else 1)

    def _reduce(self, value, reduction):
        pairs = self.compared.sum(-1)
        if reduction == "none":
            return value / np.maximum(1, pairs)
        return value.sum() / (max(1, pairs.sum()) if reduction == "mean" else 1)


def fidi_query(d, cos, positives, negatives, alpha, beta):
    terms, grad = np.zeros(3), np.zeros(len(d))
    for k in positives:
        u = np.exp(-beta * d[k])
        inner = np.log(alpha) - beta * d[k] - np.log1p((alpha - 1) * u)
        terms[0] += np.log(alpha / (alpha - 1 + u)) + u * inner
        by_u = -1 / (alpha - 1 + u) + inner - u * (alpha - 1) / (1 + (alpha - 1) * u)
        grad[k] = by_u * -beta * u - u * beta
    for k in negatives:
        u = np.exp(-beta * d[k])
        terms[1] += u * np.log(alpha / (alpha - 1))
        grad[k] = -beta * u * np.log(alpha / (alpha - 1))
    return terms.sum(), terms, grad, np.zeros(len(d))


def smooth_ap_query(d, cos, positives, negatives, temperature):
    total, grad = 0.0, np.zeros(len(d))
    everyone = np.concatenate([positives, negatives])
    for i in positives:
        others = everyone[everyone != i]
        with np.errstate(over="ignore"):
            s = 1 / (1 + np.exp(-(cos[others] - cos[i]) / temperature))
        is_positive = np.isin(others, positives)
        above, below = 1 + s[is_positive].sum(), 1 + s.sum()
        # 1 − above/below, without the digits that this loses where the order is right.
        false = s[~is_positive].sum()
        total += false / below
        by_s = np.where(is_positive, -false, above) / below**2
        slope = by_s * s * (1 - s) / temperature
        grad[others] += slope
        grad[i] -= slope.sum()
    return total / len(positives), np.zeros(3), np.zeros(len(d)), grad / len(positives)


def triplet_query(d, cos, positives, negatives, margin):
    grad = np.zeros(len(d))
    far, near = positives[np.argmax(d[positives])], negatives[np.argmin(d[negatives])]
    excess = d[far] - d[near]
    if margin is None:
        loss, slope = np.logaddexp(0.0, excess), 1 / (1 + np.exp(-excess))
    else:
        loss, slope = max(0.0, margin + excess), float(margin + excess > 0)
    grad[far], grad[near] = slope, -slope
    return loss, np.zeros(3), grad, np.zeros(len(d))


def each_query(
    distance, cosine, labels, gallery_labels, self_index, exclude, *, query, counting, own=False
):
    """query of every row that counts; own: the query's own column joins the positives."""
    size, entries = distance.shape
    if gallery_labels is None:
        gallery_labels = labels
        self_index = np.arange(size) if self_index is None else self_index
    elif self_index is None:
        self_index = np.full(size, -1)
    loss, terms, counts = np.zeros(size), np.zeros((size, 3)), np.zeros(size, bool)
    by_d, by_cos = np.zeros((size, entries)), np.zeros((size, entries))
    compared = np.zeros((size, entries), bool)
    for q in range(size):
        positives, negatives = oracle.partners(q, labels, gallery_labels, self_index, exclude)
        if not counting(len(positives), len(negatives)):
            continue
        k = self_index[q]
        if own and k >= 0 and (exclude is None or not exclude[q, k]):
            positives = np.sort(np.append(positives, k))
        counts[q] = True
        compared[q, positives] = compared[q, negatives] = True
        if np.isfinite(distance[q] + cosine[q])[compared[q]].all():
            loss[q], terms[q], by_d[q], by_cos[q] = query(
                distance[q], cosine[q], positives, negatives
            )
        else:
            loss[q] = terms[q] = np.nan
            by_d[q, compared[q]] = by_cos[q, compared[q]] = np.nan
    return loss, terms, by_d, by_cos, counts, compared


def fidi(*given, alpha=1.05, beta=0.5, **options):
    query = partial(fidi_query, alpha=alpha, beta=beta)
    rows = partial(each_query, query=query, counting=lambda p, n: p + n > 0)
    return oracle.whole_loss(rows, *given, result=PairResult, **options)


def smooth_ap(*given, temperature=0.01, include_self=False, **options):
    query = partial(smooth_ap_query, temperature=temperature)
    rows = partial(each_query, query=query, counting=lambda p, n: p > 0, own=include_self)
    return oracle.whole_loss(rows, *given, **options)


def batch_hard_triplet(*given, margin=0.3, **options):
    query = partial(triplet_query, margin=margin)
    rows = partial(each_query, query=query, counting=lambda p, n: p > 0 and n > 0)
    return oracle.whole_loss(rows, *given, **options)
