"""Gather mode: every rank's queries against the whole batch, which each rank holds once.

The gradient of the gallery's side is summed over the ranks and scattered to the owners of the rows.
"""

import torch

from drsl_cuda import _ops
from drsl_cuda._backend import runs_natively
from drsl_cuda.distributed._kinds import has_terms, weight


def gather(kind, ranks, x, labels, exclude, want):
    """This rank's part: sums [5] (loss, weight, three terms), and its rows' gradient or None.

    The gradient [.., b, D] is that of the sum over all ranks' queries, both sides.
    """
    gallery, gallery_labels = ranks.gather(x), ranks.gather(labels)
    start = ranks.starts[ranks.rank]
    own = torch.arange(start, start + labels.shape[0], device=x.device)
    problem = (x, labels, gallery, gallery_labels, own, exclude)
    loss, terms, gradient, of_gallery = part(kind, problem, want)
    if want:
        gradient = gradient + ranks.reduce_scatter(of_gallery)
    count = weight(kind, labels, gallery_labels, own, exclude) * x.shape[:-2].numel()
    return sums_of(loss, count, terms), gradient


def sums_of(loss, count, terms):
    return torch.cat([loss.reshape(1).double(), count.reshape(1).double(), terms.double()])


def part(kind, problem, want):
    """The sum over queries (pairs) of a loss, its three terms, both gradients where wanted.

    Gradients come in the accumulation type, so that they are added and scaled before rounding.
    """
    x, labels, gallery, gallery_labels, own, exclude = problem
    if runs_natively(_ops.EMBEDDING_LOSS, x.device.type, kind.backend):
        settings = (kind.name, list(kind.params), kind.normalize, _ops.SUM)
        return _ops.EMBEDDING_LOSS(*problem, None, *settings, want, want, _ops.tf32(x))
    dtype = _ops.accumulation(x.dtype)
    sides = [t.detach().to(dtype).requires_grad_(want) for t in (x, gallery)]
    with torch.set_grad_enabled(want):
        loss = kind.reference(
            sides[0],
            labels,
            sides[1],
            gallery_labels,
            self_index=own,
            exclude=exclude,
            normalize=kind.normalize,
            reduction="sum",
            return_terms=has_terms(kind),
            **kind.options,
        )
        loss, terms = loss if isinstance(loss, tuple) else (loss, ())
        gradients = torch.autograd.grad(loss, sides) if want else (None, None)
    terms = torch.stack([*terms, *[loss.new_zeros(())] * (3 - len(terms))])
    return loss.detach(), terms.detach(), *gradients


class _GatherRows(torch.autograd.Function):
    """Rows of all ranks; backward sums every rank's gradient of them and returns the own part."""

    @staticmethod
    def forward(ctx, x, ranks):
        ctx.ranks, ctx.dtype = ranks, x.dtype
        return ranks.gather(x)

    @staticmethod
    def backward(ctx, gradient):
        summed = ctx.ranks.reduce_scatter(gradient.to(_ops.accumulation(ctx.dtype)))
        return summed.to(ctx.dtype), None


def each(loss, ranks, x, labels, exclude, return_terms):
    """reduction="none": the losses of this rank's queries; backward gathers and scatters as well."""
    gallery, gallery_labels = _GatherRows.apply(x, ranks), ranks.gather(labels)
    start = ranks.starts[ranks.rank]
    own = torch.arange(start, start + labels.shape[0], device=x.device)
    return loss(
        x,
        labels,
        gallery,
        gallery_labels,
        self_index=own,
        exclude=exclude,
        return_terms=return_terms,
    )
