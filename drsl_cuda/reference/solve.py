"""What the losses on embeddings share: everything but the loss of a row."""

import torch

from drsl_cuda import _check
from drsl_cuda.reference.pairwise import distance_and_cosine
from drsl_cuda.reference.problem import problem, reduce
from drsl_cuda.reference.rows import accumulated, finite_rows, first_derivative_only, poison, unit
from drsl_cuda.reference.turns import in_turns


def counting(p):
    """[B] addends of a query's loss for losses that are one number a query."""
    return p.counts


def solved(
    name, work, given, settings, normalize, reduction, pose=problem, addends=counting, by="distance"
):
    """The reduced loss, differentiable once, and its reduced terms, detached.

    given      embeddings, labels, gallery, gallery_labels, self_index, exclude
    work       (distance, cosine [.., B, G], Problem, *settings) -> the loss of each query [.., B],
               0 where it does not count, and possibly its T terms [.., B, T]
    pose       (labels, gallery_labels, self_index, exclude) -> Problem, which says who counts
    addends    Problem -> [B]: how many addends the loss of a query is the sum of
    by         "distance", or "cosine" for losses to which a distance that overflows means nothing
    """
    _check.flag("normalize", normalize)
    x, labels, r, *rest = _check.embedding_problem(*given)
    p = pose(labels, *rest)

    x = first_derivative_only(accumulated(x), name)
    r = r if r is None else first_derivative_only(accumulated(r), name)
    clean, clean_r, usable = finite_rows(x, r)
    if normalize:
        clean, clean_r = unit(clean)[0], r if r is None else unit(clean_r)[0]
    distance, cosine = distance_and_cosine(clean, clean_r)
    if by == "distance":
        usable = usable & (distance < torch.inf)
    distance = torch.where(usable, distance, 0)
    loss, *terms = in_turns(work, distance, cosine, p, *settings)

    bad = p.bad(usable)
    if bad.any():
        compared = bad[..., None] & p.left
        loss = loss + poison(x, x if r is None else r, compared).sum(-1)
        terms = [part.masked_fill(bad[..., None], torch.nan) for part in terms]
    weight = addends(p)
    parts = [term.detach() for part in terms for term in part.unbind(-1)]
    return reduce(loss, weight, reduction), [reduce(part, weight, reduction) for part in parts]
