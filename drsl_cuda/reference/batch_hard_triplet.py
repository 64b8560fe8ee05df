"""Batch-hard triplet loss: the farthest positive against the nearest negative.

    loss_q = max(0, margin + max_P d - min_N d), or log(1 + exp(max_P d - min_N d)) without a margin

The first of equal distances is taken. A true gradient, by autograd; 0 at the hinge.
"""

from typing import Literal

import torch
from torch import Tensor

from drsl_cuda import _check
from drsl_cuda._types import Reduction
from drsl_cuda.reference.problem import problem
from drsl_cuda.reference.solve import solved


def batch_hard_triplet_loss(
    embeddings: Tensor,
    labels: Tensor,
    gallery: Tensor | None = None,
    gallery_labels: Tensor | None = None,
    *,
    self_index: Tensor | None = None,
    exclude: Tensor | None = None,
    margin: float | None = 0.3,
    normalize: bool = False,
    reduction: Reduction = "mean",
    return_terms: Literal[False] = False,
) -> Tensor:
    """Batch-hard triplet loss of queries [B, D] against a gallery [G, D]; the rest as in drsl_loss.

    margin >= 0, or None for the soft margin. A query counts when it has a positive and a negative.
    There are no terms to return.
    """
    given = (embeddings, labels, gallery, gallery_labels, self_index, exclude)
    margin = _check.margin(margin)
    _check.no_terms("batch_hard_triplet_loss", return_terms)
    return solved(
        "batch_hard_triplet_loss", _hardest, given, (margin,), normalize, reduction, _pose
    )[0]


def _pose(*given):
    """A query counts when it has a positive and a negative."""
    p = problem(*given)
    return p._replace(counts=p.positive.any(-1) & p.negative.any(-1))


def _hardest(d, cosine, p, margin):
    """The loss of each query [..., B]."""
    if d.shape[-1] == 0:
        return (d.sum(-1),)
    fixed = d.detach()
    # argmax and argmin give the first of equals.
    far = torch.where(p.positive, fixed, -torch.inf).argmax(-1, keepdim=True)
    near = torch.where(p.negative, fixed, torch.inf).argmin(-1, keepdim=True)
    excess = (d.gather(-1, far) - d.gather(-1, near)).squeeze(-1)
    loss = torch.logaddexp(torch.zeros_like(excess), excess)
    if margin is not None:
        loss = torch.relu(margin + excess)
    return (torch.where(p.counts, loss, 0),)
