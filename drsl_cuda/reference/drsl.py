"""DRSL, reconstructed: rank the positives by distance, sort them by angle (docs/losses.md, "DRSL").

    loss_q = (1/n) sum_i  w_R l_R(i) + w_S (l_S(i) - l_S*(i)) + w_A l_A(i)      i positive

with the errors of drsl_row.py. They are made of ranks, which are counts and have no useful
derivative. The gradient is instead that of a surrogate in which everything that was counted is a
constant, and autograd carries it through distances and cosines to queries and gallery.
"""

from typing import Literal, overload

from torch import Tensor

from drsl_cuda import _check
from drsl_cuda._types import Reduction
from drsl_cuda.reference.drsl_row import hats_at, mean_errors, settings, surrogate_at
from drsl_cuda.reference.solve import solved
from drsl_cuda.terms import DRSLTerms


# fmt: off
@overload
def drsl_loss(
    embeddings: Tensor, labels: Tensor, gallery: Tensor | None = None,
    gallery_labels: Tensor | None = None, *, self_index: Tensor | None = None,
    exclude: Tensor | None = None, delta: float = 0.5, rank_weight: float = 1.0,
    sort_weight: float = 1.0, angle_weight: float = 1.0,
    normalize: bool = False, reduction: Reduction = "mean", return_terms: Literal[False] = False,
) -> Tensor: ...
@overload
def drsl_loss(
    embeddings: Tensor, labels: Tensor, gallery: Tensor | None = None,
    gallery_labels: Tensor | None = None, *, self_index: Tensor | None = None,
    exclude: Tensor | None = None, delta: float = 0.5, rank_weight: float = 1.0,
    sort_weight: float = 1.0, angle_weight: float = 1.0,
    normalize: bool = False, reduction: Reduction = "mean", return_terms: Literal[True],
) -> tuple[Tensor, DRSLTerms]: ...
@overload
def drsl_loss(
    embeddings: Tensor, labels: Tensor, gallery: Tensor | None = None,
    gallery_labels: Tensor | None = None, *, self_index: Tensor | None = None,
    exclude: Tensor | None = None, delta: float = 0.5, rank_weight: float = 1.0,
    sort_weight: float = 1.0, angle_weight: float = 1.0,
    normalize: bool = False, reduction: Reduction = "mean", return_terms: bool,
) -> Tensor | tuple[Tensor, DRSLTerms]: ...
# fmt: on
def drsl_loss(
    embeddings: Tensor,
    labels: Tensor,
    gallery: Tensor | None = None,
    gallery_labels: Tensor | None = None,
    *,
    self_index: Tensor | None = None,
    exclude: Tensor | None = None,
    delta: float = 0.5,
    rank_weight: float = 1.0,
    sort_weight: float = 1.0,
    angle_weight: float = 1.0,
    normalize: bool = False,
    reduction: Reduction = "mean",
    return_terms: bool = False,
) -> Tensor | tuple[Tensor, DRSLTerms]:
    """DRSL of queries [B, D] against a gallery [G, D], by default themselves.

    labels [B], gallery_labels [G] are integers. self_index [B] names each query's own copy in the
    gallery (-1: none) and exclude [B, G] pairs to leave out. With a leading set dimension on
    embeddings and gallery, [S, B, D], S problems that share everything else are solved.

    delta is half the width of the step H, the weights those of the three errors; normalize scales
    rows to unit length first. reduction: "mean" over the queries with a positive, "sum", or "none"
    ([B] or [S, B], 0 where a query has no positive). return_terms adds the unweighted errors.
    """
    given = (embeddings, labels, gallery, gallery_labels, self_index, exclude)
    weights = settings(delta, rank_weight, sort_weight, angle_weight)
    _check.flag("return_terms", return_terms)
    loss, terms = solved(
        "drsl_loss", _loss_and_terms, given, (delta, weights), normalize, reduction
    )
    return (loss, DRSLTerms(*terms)) if return_terms else loss


def _loss_and_terms(d, cosine, p, delta, weights):
    """The loss of each query [..., B] with the surrogate's gradient, and the terms [..., B, 3]."""
    hats = hats_at(d, cosine, p, delta)
    terms = mean_errors(hats, p)
    value = (terms * terms.new_tensor(weights)).sum(-1)
    # Only the gradient is wanted, and the surrogate is affine: so take it at d = 0, where nothing
    # is large enough to round or overflow in a difference that ought to vanish.
    surrogate = surrogate_at(d - d.detach(), cosine, p, hats, weights)
    return value + (surrogate - surrogate.detach()), terms
