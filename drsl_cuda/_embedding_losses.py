"""Losses on embeddings: arguments are checked, then the native operator or the reference runs."""

from typing import Any, Literal, overload

from torch import Tensor

from drsl_cuda import _autograd, _check, _ops, reference
from drsl_cuda._backend import runs_natively
from drsl_cuda._types import Backend, Problem, Reduction
from drsl_cuda.terms import DRSLTerms, FIDITerms

REDUCTIONS: dict[Reduction, int] = {"none": _ops.NONE, "mean": _ops.MEAN, "sum": _ops.SUM}
# The other losses have none.
TERMS: dict[str, type[DRSLTerms] | type[FIDITerms]] = {"drsl": DRSLTerms, "fidi": FIDITerms}


# fmt: off
@overload
def drsl_loss(
    embeddings: Tensor, labels: Tensor, gallery: Tensor | None = None,
    gallery_labels: Tensor | None = None, *, self_index: Tensor | None = None,
    exclude: Tensor | None = None, delta: float = 0.5, rank_weight: float = 1.0,
    sort_weight: float = 1.0, angle_weight: float = 1.0,
    normalize: bool = False, reduction: Reduction = "mean", return_terms: Literal[False] = False,
    backend: Backend = "auto",
) -> Tensor: ...
@overload
def drsl_loss(
    embeddings: Tensor, labels: Tensor, gallery: Tensor | None = None,
    gallery_labels: Tensor | None = None, *, self_index: Tensor | None = None,
    exclude: Tensor | None = None, delta: float = 0.5, rank_weight: float = 1.0,
    sort_weight: float = 1.0, angle_weight: float = 1.0,
    normalize: bool = False, reduction: Reduction = "mean", return_terms: Literal[True],
    backend: Backend = "auto",
) -> tuple[Tensor, DRSLTerms]: ...
@overload
def drsl_loss(
    embeddings: Tensor, labels: Tensor, gallery: Tensor | None = None,
    gallery_labels: Tensor | None = None, *, self_index: Tensor | None = None,
    exclude: Tensor | None = None, delta: float = 0.5, rank_weight: float = 1.0,
    sort_weight: float = 1.0, angle_weight: float = 1.0,
    normalize: bool = False, reduction: Reduction = "mean", return_terms: bool,
    backend: Backend = "auto",
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
    backend: Backend = "auto",
) -> Tensor | tuple[Tensor, DRSLTerms]:
    """DRSL: positives ahead of negatives by distance, sorted among themselves by angle.

    embeddings      [B, D], or [S, B, D] for S independent sets (parts) with the same labels
    labels          [B] integers
    gallery         [G, D] or [S, G, D]: what queries are compared with; None: the batch itself
    gallery_labels  [G]
    self_index      [B] the gallery column that is the query itself, -1 for none
    exclude         [B, G] bool: pairs to leave out
    delta           half the width of the smoothed step; 0 is the exact step
    reduction       "mean" over the queries that have a positive, "sum", or "none": [.., B]
    return_terms    also return DRSLTerms(ranking, sorting, angle), detached and unweighted
    backend         "auto", "native" or "reference"

    The loss comes in float32 for half precision embeddings, else in their type.
    """
    options = {
        "delta": _check.number("delta", delta, low=0.0),
        "rank_weight": _check.number("rank_weight", rank_weight),
        "sort_weight": _check.number("sort_weight", sort_weight),
        "angle_weight": _check.number("angle_weight", angle_weight),
    }
    problem = (embeddings, labels, gallery, gallery_labels, self_index, exclude)
    return _loss("drsl", problem, options, normalize, reduction, return_terms, backend)


# fmt: off
@overload
def fidi_loss(
    embeddings: Tensor, labels: Tensor, gallery: Tensor | None = None,
    gallery_labels: Tensor | None = None, *, self_index: Tensor | None = None,
    exclude: Tensor | None = None, alpha: float = 1.05, beta: float = 0.5,
    normalize: bool = False, reduction: Reduction = "mean", return_terms: Literal[False] = False,
    backend: Backend = "auto",
) -> Tensor: ...
@overload
def fidi_loss(
    embeddings: Tensor, labels: Tensor, gallery: Tensor | None = None,
    gallery_labels: Tensor | None = None, *, self_index: Tensor | None = None,
    exclude: Tensor | None = None, alpha: float = 1.05, beta: float = 0.5,
    normalize: bool = False, reduction: Reduction = "mean", return_terms: Literal[True],
    backend: Backend = "auto",
) -> tuple[Tensor, FIDITerms]: ...
@overload
def fidi_loss(
    embeddings: Tensor, labels: Tensor, gallery: Tensor | None = None,
    gallery_labels: Tensor | None = None, *, self_index: Tensor | None = None,
    exclude: Tensor | None = None, alpha: float = 1.05, beta: float = 0.5,
    normalize: bool = False, reduction: Reduction = "mean", return_terms: bool,
    backend: Backend = "auto",
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
    backend: Backend = "auto",
) -> Tensor | tuple[Tensor, FIDITerms]:
    """FIDI: pairs of one identity pulled together, all other pairs pushed apart.

    alpha, beta     with u = exp(-beta d), a pair of one identity costs
                    log(alpha/(alpha-1+u)) + u (log alpha - beta d - log1p((alpha-1) u)),
                    and any other u log(alpha/(alpha-1)); alpha > 1, beta > 0
    reduction       "mean" over all pairs of all queries, "sum" over pairs, or "none": [.., B], the
                    mean over the query's pairs
    return_terms    also return FIDITerms(positive, negative), detached; the loss is their sum

    The other arguments are those of drsl_loss. Queries without a positive have their negatives.
    """
    options = {
        "alpha": _check.number("alpha", alpha, low=1.0, low_open=True),
        "beta": _check.number("beta", beta, low=0.0, low_open=True),
    }
    problem = (embeddings, labels, gallery, gallery_labels, self_index, exclude)
    return _loss("fidi", problem, options, normalize, reduction, return_terms, backend)


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
    backend: Backend = "auto",
) -> Tensor:
    """Smooth-AP: 1 - average precision, ranks counted with a sigmoid of cosines.

    temperature     > 0; the sigmoid is that of (cos_j - cos_i) / temperature
    include_self    count the query's own gallery column as one more positive, as the authors do

    The other arguments are those of drsl_loss. There are no terms: return_terms must be False.
    """
    options = {
        "temperature": _check.number("temperature", temperature, low=0.0, low_open=True),
        "include_self": _check.flag("include_self", include_self),
    }
    problem = (embeddings, labels, gallery, gallery_labels, self_index, exclude)
    return _loss("smooth_ap", problem, options, normalize, reduction, return_terms, backend)


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
    backend: Backend = "auto",
) -> Tensor:
    """Batch-hard triplet loss: the farthest positive against the nearest negative.

    margin          m of max(0, m + d_positive - d_negative), m >= 0; None: the soft margin,
                    log(1 + exp(d_positive - d_negative))

    The other arguments are those of drsl_loss. A query counts when it has a positive and a negative.
    There are no terms: return_terms must be False.
    """
    options = {
        "margin": _check.margin(margin),
    }
    problem = (embeddings, labels, gallery, gallery_labels, self_index, exclude)
    return _loss(
        "batch_hard_triplet", problem, options, normalize, reduction, return_terms, backend
    )


def _loss(
    name: str,
    problem: Problem,
    options: dict[str, Any],
    normalize: bool,
    reduction: Reduction,
    return_terms: bool,
    backend: Backend,
) -> Any:
    """The loss, or (loss, terms), of checked options, which are the parameters of the operator."""
    problem = _check.embedding_problem(*problem)
    _check.choice("reduction", reduction, REDUCTIONS)
    _check.flag("normalize", normalize)
    if name in TERMS:
        _check.flag("return_terms", return_terms)
    else:
        _check.no_terms(f"{name}_loss", return_terms)
    if not runs_natively(_ops.EMBEDDING_LOSS, problem[0].device.type, backend):
        x, labels, r, r_labels, self_index, exclude = problem
        return getattr(reference, f"{name}_loss")(
            x,
            labels,
            r,
            r_labels,
            self_index=self_index,
            exclude=exclude,
            normalize=normalize,
            reduction=reduction,
            return_terms=return_terms,
            **options,
        )
    # A parameter that is None (no margin) is left out.
    params = [float(value) for value in options.values() if value is not None]
    loss, terms = _autograd.embedding_loss(*problem, name, params, normalize, REDUCTIONS[reduction])
    if not return_terms:
        return loss
    fields = TERMS[name]._fields  # terms come [.., 3], however many the loss has
    return loss, TERMS[name](*terms.unbind(-1)[: len(fields)])
