"""FIDI: pull the pairs of one identity, push all others (docs/losses.md, "FIDI").

Over ordered pairs (q, k), u = exp(-beta d), w = 1 - u:

    positive  log(alpha/(alpha-1+u)) + u (log alpha - beta d - log1p((alpha-1) u))
            = -log1p(-w/alpha) - u (beta d + log1p(-(alpha-1) w/alpha))
    negative  u log(alpha/(alpha-1))

The second line keeps its digits where d is small. A true gradient, by autograd.
"""

import math
from typing import Literal, overload

import torch
from torch import Tensor

from drsl_cuda import _check
from drsl_cuda._types import Reduction
from drsl_cuda.reference.problem import problem
from drsl_cuda.reference.solve import solved
from drsl_cuda.terms import FIDITerms


# fmt: off
@overload
def fidi_loss(
    embeddings: Tensor, labels: Tensor, gallery: Tensor | None = None,
    gallery_labels: Tensor | None = None, *, self_index: Tensor | None = None,
    exclude: Tensor | None = None, alpha: float = 1.05, beta: float = 0.5,
    normalize: bool = False, reduction: Reduction = "mean", return_terms: Literal[False] = False,
) -> Tensor: ...
@overload
def fidi_loss(
    embeddings: Tensor, labels: Tensor, gallery: Tensor | None = None,
    gallery_labels: Tensor | None = None, *, self_index: Tensor | None = None,
    exclude: Tensor | None = None, alpha: float = 1.05, beta: float = 0.5,
    normalize: bool = False, reduction: Reduction = "mean", return_terms: Literal[True],
) -> tuple[Tensor, FIDITerms]: ...
@overload
def fidi_loss(
    embeddings: Tensor, labels: Tensor, gallery: Tensor | None = None,
    gallery_labels: Tensor | None = None, *, self_index: Tensor | None = None,
    exclude: Tensor | None = None, alpha: float = 1.05, beta: float = 0.5,
    normalize: bool = False, reduction: Reduction = "mean", return_terms: bool,
) -> Tensor | tuple[Tensor, FIDITerms]: ...
# fmt: on
def fidi_loss(
    embeddings: Tensor,
    labels: Tensor,
    gallery: Tensor | None = None,
    gallery_labels: Tensor | None = None,
    *,
    self_index: Tensor | None = None,
    exclude: Tensor | None = None,
    alpha: float = 1.05,
    beta: float = 0.5,
    normalize: bool = False,
    reduction: Reduction = "mean",
    return_terms: bool = False,
) -> Tensor | tuple[Tensor, FIDITerms]:
    """FIDI of queries [B, D] against a gallery [G, D]; what is not said here is as in drsl_loss.

    alpha > 1 and beta > 0. reduction: "mean" over all pairs of all queries, "sum" over pairs, or
    "none": [B] or [S, B], the mean over a query's pairs, 0 if it has none. return_terms adds what
    positive and negative pairs contribute.
    """
    given = (embeddings, labels, gallery, gallery_labels, self_index, exclude)
    alpha = _check.number("alpha", alpha, low=1.0, low_open=True)
    beta = _check.number("beta", beta, low=0.0, low_open=True)
    _check.flag("return_terms", return_terms)
    loss, terms = solved(
        "fidi_loss", _sums, given, (alpha, beta), normalize, reduction, _pose, _pairs
    )
    return (loss, FIDITerms(*terms)) if return_terms else loss


def _pose(*given):
    """Every query with a pair counts."""
    p = problem(*given)
    return p._replace(counts=p.left.any(-1))


def _pairs(p):
    return p.left.sum(-1)


def _sums(d, cosine, p, alpha, beta):
    """The sum over each query's pairs [..., B], and over its positive and negative ones [..., B, 2]."""
    # Beyond the range of the type they are its last numbers: no 0 * inf.
    limits = torch.finfo(d.dtype)
    alpha, beta = min(alpha, limits.max / 1024), min(max(beta, limits.tiny), limits.max / 1024)
    # Beyond exp(-1000), which is 0 in every type, nothing changes, and beta d cannot overflow.
    scaled = (beta * d).clamp(max=1000)
    u, w = torch.exp(-scaled), -torch.expm1(-scaled)
    # log(1 - w/alpha) and log(1 - (alpha-1) w/alpha), each where it keeps its digits.
    near = w < 0.5
    small, rest = torch.where(near, w, 0), torch.where(near, 1, u)
    first = torch.where(near, torch.log1p(-small / alpha), torch.log((alpha - 1 + rest) / alpha))
    second = torch.where(
        near,
        torch.log1p(-(alpha - 1) / alpha * small),
        torch.log(((alpha - 1) * rest + 1) / alpha),
    )
    positive = -first - u * (scaled + second)
    negative = u * math.log1p(1 / (alpha - 1))
    parts = [
        torch.where(p.positive, positive, 0).sum(-1),
        torch.where(p.negative, negative, 0).sum(-1),
    ]
    return parts[0] + parts[1], torch.stack(parts, dim=-1)
