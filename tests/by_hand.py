"""The losses on embeddings, anchor by anchor, from lists of positives and negatives: slow and obvious.

Plain autograd in float64, without labels, masks or shared code: what the calls of other libraries are
compared with. DRSL, whose derivative is not that of its value, is its frozen surrogate.
"""

import math

import torch

from tolerances import F64


def anchors_of(pairs, count):
    """(anchors, positives, anchors, negatives) as [(positives, negatives)] of each of count anchors."""
    listed = [(set(), set()) for _ in range(count)]
    for side, (anchor, entry) in enumerate((pairs[:2], pairs[2:])):
        for a, e in zip(anchor.tolist(), entry.tolist(), strict=True):
            listed[a][side].add(e)
    return [(sorted(positives), sorted(negatives)) for positives, negatives in listed]


def per_anchor(name, x, r, listed, own=None, **options):
    """{anchor: loss} of those that count. own: each anchor's own column of r, where that matters."""
    x, r = x.to(F64), r.to(F64)
    found = {}
    for q, (positives, negatives) in enumerate(listed):
        if not (positives or (name == "fidi" and negatives)):
            continue
        if name == "batch_hard_triplet" and not negatives:
            continue
        rows = r[[*positives, *negatives]]
        n = len(positives)
        d = (rows - x[q]).square().sum(1).sqrt()
        cos = rows @ x[q] / (rows.square().sum(1).sqrt() * x[q].square().sum().sqrt())
        extra = () if own is None else (own[q],)
        found[q] = LOSSES[name](d, cos, n, *extra, **options)
    return found


def drsl(d, cos, n, delta=0.5):
    d_p, d_n, y = d[:n], d[n:], (1 + cos[:n]) / 2
    ahead = ((d_p[:, None] - d_p) / (2 * delta) + 0.5).clamp(0, 1).detach()
    ahead.fill_diagonal_(1)
    false = ((d_p[:, None] - d_n) / (2 * delta) + 0.5).clamp(0, 1).detach()
    rank = ahead.sum(1) + false.sum(1)
    better, worse = y[None, :] >= y[:, None], y[None, :] < y[:, None]
    angle = (ahead * (1 - y)).sum(1) / ahead.sum(1)
    target = (ahead * better * (1 - y)).sum(1) / (ahead * better).sum(1)
    value = (false.sum(1) / rank + (angle - target) + angle).mean()

    mass = (ahead * worse).sum(1, keepdim=True)
    charged = ((angle - target)[:, None] * ahead * worse / mass.clamp(min=1e-300)).detach()
    surrogate = (false / rank[:, None] * (d_p[:, None] - d_n)).sum()
    surrogate = surrogate + (charged * (d_p[:, None] - d_p)).sum()
    surrogate = (surrogate + angle.sum()) / n
    return value.detach() + surrogate - surrogate.detach()


def fidi(d, cos, n, alpha=1.05, beta=0.5):
    # D(U‖K) + D(K‖U), with K = 1 for positives and 0 for negatives, and 0 · log 0 = 0.
    u = torch.exp(-beta * d)
    k = (torch.arange(len(d)) < n).to(d.dtype)
    to_k = u * torch.log(alpha * u / ((alpha - 1) * u + k))
    to_u = torch.where(k > 0, torch.log(alpha / (alpha - 1 + u)), 0.0)
    return (torch.where(k > 0, to_k, u * math.log(alpha / (alpha - 1))) + to_u).mean()


def smooth_ap(d, cos, n, own=-1, temperature=0.01, include_self=False):
    if include_self and own >= 0:  # a positive at cosine 1
        cos, n = torch.cat([torch.ones(1, dtype=cos.dtype), cos]), n + 1
    precision = 0.0
    for i in range(n):
        s = torch.sigmoid((cos - cos[i]) / temperature)
        s = torch.cat([s[:i], s[i + 1 :]])
        precision = precision + (1 + s[: n - 1].sum()) / (1 + s.sum())
    return 1 - precision / n


def batch_hard_triplet(d, cos, n, margin=0.3):
    gap = d[:n].max() - d[n:].min()
    return torch.nn.functional.softplus(gap) if margin is None else (margin + gap).clamp(min=0)


LOSSES = {
    "drsl": drsl,
    "fidi": fidi,
    "smooth_ap": smooth_ap,
    "batch_hard_triplet": batch_hard_triplet,
}
