"""Distances and cosines of rows and their chain rule, in float64 NumPy: the oracle's first half."""

import numpy as np


def norms(rows):
    """|v| along the last axis. Scaled by a power of two, so that squares neither over- nor underflow."""
    peak = np.max(np.abs(rows), axis=-1, initial=0.0)
    safe = np.where(np.isfinite(peak) & (peak > 0), peak, 1.0)
    scale = 2.0 ** np.floor(np.log2(safe))
    return scale * np.sqrt(np.sum((rows / scale[..., None]) ** 2, axis=-1))


def counts_as_zero(rows, accumulation="float64"):
    """|x|² is below the smallest normal number of the accumulation type."""
    return norms(rows) < np.sqrt(float(np.finfo(accumulation).tiny))


def unit(rows, accumulation="float64"):
    """Rows scaled to length one; a row that counts as zero becomes zero."""
    zero = counts_as_zero(rows, accumulation)
    length = np.where(zero, 1.0, norms(rows))
    return np.where(zero[:, None], 0.0, rows / length[:, None])


def pairwise(x, gallery=None, accumulation="float64"):
    """Distance [B, G] and cosine [B, G]; without a gallery the diagonal of the distance is 0."""
    r = x if gallery is None else gallery
    distance = np.empty((len(x), len(r)))
    cosine = np.empty((len(x), len(r)))
    with np.errstate(all="ignore"):
        x_hat, r_hat = unit(x, accumulation), unit(r, accumulation)
        for q in range(len(x)):
            distance[q] = norms(x[q] - r)
            cosine[q] = np.clip(np.sum(x_hat[q] * r_hat, axis=-1), -1.0, 1.0)
            if gallery is None:
                distance[q, q] = 0.0
    return distance, cosine


def redistribute(grad_distance, grad_cosine, x, gallery=None, accumulation="float64"):
    """Chain rule through d and cos, a pair at a time: gradients of X and of the gallery side.

    Where d = 0, and for the cosine of a row that counts as zero, the derivative is 0. A pair whose
    two coefficients are 0 contributes nothing, whatever its rows hold.
    """
    r = x if gallery is None else gallery
    distance, cosine = pairwise(x, gallery, accumulation)
    grad_x, grad_r = np.zeros_like(x), np.zeros_like(r)
    with np.errstate(all="ignore"):
        x_hat, r_hat = unit(x, accumulation), unit(r, accumulation)
        x_length, r_length = norms(x), norms(r)
        x_zero = counts_as_zero(x, accumulation)
        r_zero = counts_as_zero(r, accumulation)
        for q in range(len(x)):
            k = np.flatnonzero((grad_distance[q] != 0) & (distance[q] != 0))
            towards = (x[q] - r[k]) / distance[q, k, None]
            pull = grad_distance[q, k, None] * towards
            grad_x[q] += pull.sum(axis=0)
            grad_r[k] -= pull
            k = np.flatnonzero((grad_cosine[q] != 0) & ~r_zero)
            if x_zero[q] or len(k) == 0:
                continue
            by_cos, cos = grad_cosine[q, k][:, None], cosine[q, k][:, None]
            grad_x[q] += (by_cos * (r_hat[k] - cos * x_hat[q])).sum(axis=0) / x_length[q]
            grad_r[k] += by_cos * (x_hat[q] - cos * r_hat[k]) / r_length[k][:, None]
    return grad_x, grad_r


def through_normalisation(grad, rows, accumulation="float64"):
    """∂x = (g − (g·x̂) x̂)/|x|; 0 for a zero row; where no gradient arrives none leaves."""
    out = np.zeros_like(grad)
    zero = counts_as_zero(rows, accumulation)
    with np.errstate(all="ignore"):
        hat, length = unit(rows, accumulation), norms(rows)
        for q in range(len(rows)):
            if np.isnan(grad[q]).any():
                out[q] = np.nan
            elif not zero[q] and grad[q].any():
                out[q] = (grad[q] - np.sum(grad[q] * hat[q]) * hat[q]) / length[q]
    return out
