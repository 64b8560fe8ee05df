"""Smooth-AP: 1 - average precision with ranks counted by a sigmoid (docs/losses.md, "Smooth-AP").

    loss_q = 1 - (1/n) sum_{i in P} (1 + sum_{j in P, j != i} s_ij) / (1 + sum_{j != i} s_ij)
           = (1/n) sum_{i in P} sum_{j in N} s_ij / (1 + sum_{j != i} s_ij)
    s_ij   = sigmoid((cos_j - cos_i) / temperature)

The second line keeps its digits where almost all is in order. A true gradient, by autograd.
"""

from functools import partial
from typing import Literal

import torch
from torch import Tensor

from drsl_cuda import _check
from drsl_cuda._types import Reduction
from drsl_cuda.reference.problem import problem
from drsl_cuda.reference.solve import solved


def smooth_ap_loss(
    embeddings: Tensor,
    labels: Tensor,
    gallery: Tensor | None = None,
    gallery_labels: Tensor | None = None,
    *,
    self_index: Tensor | None = None,
    exclude: Tensor | None = None,
    temperature: float = 0.01,
    include_self: bool = False,
    normalize: bool = False,
    reduction: Reduction = "mean",
    return_terms: Literal[False] = False,
) -> Tensor:
    """Smooth-AP of queries [B, D] against a gallery [G, D]; what is not said is as in drsl_loss.

    temperature > 0. include_self takes the query's own copy for one more positive, unless the pair
    is excluded; whether the query counts is decided without it. There are no terms to return.
    """
    given = (embeddings, labels, gallery, gallery_labels, self_index, exclude)
    temperature = _check.number("temperature", temperature, low=0.0, low_open=True)
    _check.flag("include_self", include_self)
    _check.no_terms("smooth_ap_loss", return_terms)
    pose = partial(problem, include_self=include_self)
    settings = given, (temperature,), normalize, reduction, pose
    return solved("smooth_ap_loss", _error, *settings, by="cosine")[0]


def _error(d, cosine, p, temperature):
    """The loss of each query [..., B]."""
    column = torch.arange(cosine.shape[-1], device=cosine.device)
    others = p.left[:, None, :] & (column != p.columns[..., None])  # [B, N, G]
    difference = cosine[..., None, :] - p.at_positives(cosine)[..., :, None]  # cos_j - cos_i
    s = torch.sigmoid(difference / max(temperature, torch.finfo(cosine.dtype).tiny)) * others
    false = (s * p.negative[:, None, :]).sum(-1)
    error = torch.where(p.valid, false / (1 + s.sum(-1)), 0).sum(-1) / p.count.clamp(min=1)
    return (torch.where(p.counts, error, 0),)
