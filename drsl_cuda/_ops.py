"""Loads the extension and tells torch the rest about its operators: fakes, autograd, autocast.

What each operator computes is in csrc/; its schema is in csrc/library.cpp.
"""

import torch

try:
    from drsl_cuda import _C
except ImportError as error:
    raise ImportError(
        "drsl_cuda's native library is missing or was built for another Python: "
        "run pip install --no-build-isolation . in the source tree"
    ) from error

library = _C

PAIRWISE = torch.ops.drsl.pairwise.default
RANK_SORT = torch.ops.drsl.rank_sort.default
REDISTRIBUTE = torch.ops.drsl.redistribute.default
EMBEDDING_LOSS = torch.ops.drsl.embedding_loss.default

NONE, MEAN, SUM = 0, 1, 2  # reduction, as the operators count them


def _devices(op):
    """Device types that the library holds a kernel of `op` for."""
    keys = {"cpu": "CPU", "cuda": "CUDA"}
    has = torch._C._dispatch_has_kernel_for_dispatch_key
    return frozenset(device for device, key in keys.items() if has(op.name(), key))


DEVICES = {op: _devices(op) for op in (PAIRWISE, RANK_SORT, REDISTRIBUTE, EMBEDDING_LOSS)}


def accumulation(dtype):
    """The type that sums are formed in, and that losses and distances come in."""
    return torch.float64 if dtype == torch.float64 else torch.float32


# --- shapes and types, for tracing -------------------------------------------------------------


def _columns(x, gallery):
    return x.shape[-2] if gallery is None else gallery.shape[-2]


@torch.library.register_fake("drsl::pairwise")
def _(x, gallery):
    shape = (*x.shape[:-1], _columns(x, gallery))
    dtype = accumulation(x.dtype)
    return x.new_empty(shape, dtype=dtype), x.new_empty(shape, dtype=dtype)


@torch.library.register_fake("drsl::rank_sort")
def _(distance, cosine, labels, gallery_labels, self_index, exclude, loss, params):
    rows = distance.shape[:-1]
    return (
        distance.new_empty(rows),
        distance.new_empty((*rows, 3)),
        torch.empty_like(distance, memory_format=torch.contiguous_format),
        torch.empty_like(distance, memory_format=torch.contiguous_format),
    )


@torch.library.register_fake("drsl::redistribute")
def _(grad_distance, grad_cosine, distance, cosine, x, gallery):
    return _gradients(x, gallery, True, True)


def _gradients(x, gallery, want_x, want_gallery):
    want_gallery = want_gallery and gallery is not None
    return (
        x.new_empty(x.shape if want_x else (0,)),
        x.new_empty(gallery.shape if want_gallery else (0,)),
    )


@torch.library.register_fake("drsl::embedding_loss")
def _(
    x,
    labels,
    gallery,
    gallery_labels,
    self_index,
    exclude,
    row_weight,
    loss,
    params,
    normalize,
    reduction,
    grad_x,
    grad_gallery,
):
    shape = x.shape[:-1] if reduction == NONE else ()
    dtype = accumulation(x.dtype)
    return (
        x.new_empty(shape, dtype=dtype),
        x.new_empty((*shape, 3) if reduction == NONE else (3,), dtype=dtype),
        *_gradients(x, gallery, grad_x, grad_gallery),
    )


# --- autograd ----------------------------------------------------------------------------------


# A gradient is an output like any other to autograd: whoever differentiates one arrives here.


def _first_derivative_only(name, *gradients):
    if any(gradient is not None for gradient in gradients):
        raise RuntimeError(f"drsl_cuda: {name} has a first derivative only")


def _no_derivative(name):
    def backward(ctx, *gradients):
        _first_derivative_only(name, *gradients)

    torch.library.register_autograd(f"drsl::{name}", backward)


_no_derivative("rank_sort")
_no_derivative("redistribute")


def _pairwise_setup(ctx, inputs, output):
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*inputs, *output)


def _pairwise_backward(ctx, grad_distance, grad_cosine):
    x, gallery, distance, cosine = ctx.saved_tensors
    grad_distance = torch.zeros_like(distance) if grad_distance is None else grad_distance
    grad_cosine = torch.zeros_like(cosine) if grad_cosine is None else grad_cosine
    grad_x, grad_gallery = REDISTRIBUTE(grad_distance, grad_cosine, distance, cosine, x, gallery)
    return grad_x, None if gallery is None else grad_gallery


torch.library.register_autograd("drsl::pairwise", _pairwise_backward, setup_context=_pairwise_setup)


def _loss_setup(ctx, inputs, output):
    ctx.set_materialize_grads(False)
    ctx.arguments = inputs[7:11]  # loss, params, normalize, reduction
    if inputs[10] == NONE:  # the weights of the queries come with backward: computed there
        ctx.save_for_backward(*inputs[:6])
    else:
        ctx.save_for_backward(output[2], output[3])


def _loss_backward(ctx, grad_loss, *others):
    _first_derivative_only(f"{ctx.arguments[0]} loss", *others)
    want_x, want_gallery = ctx.needs_input_grad[0], ctx.needs_input_grad[2]
    if ctx.arguments[3] == NONE:
        _, _, grad_x, grad_gallery = EMBEDDING_LOSS(
            *ctx.saved_tensors, grad_loss, *ctx.arguments, want_x, want_gallery
        )
    else:
        grad_x, grad_gallery = ctx.saved_tensors
        grad_x = grad_x * grad_loss.to(grad_x.dtype) if want_x else None
        grad_gallery = grad_gallery * grad_loss.to(grad_gallery.dtype) if want_gallery else None
    return (
        grad_x if want_x else None,
        None,
        grad_gallery if want_gallery else None,
        *[None] * 10,
    )


torch.library.register_autograd("drsl::embedding_loss", _loss_backward, setup_context=_loss_setup)


class _EagerEmbeddingLoss(torch.autograd.Function):
    """The same derivative on a shorter way: what register_autograd adds to a call outweighs a small batch."""

    @staticmethod
    def forward(ctx, x, gallery, labels, gallery_labels, self_index, exclude, *arguments):
        want_x = ctx.needs_input_grad[0]
        want_gallery = ctx.needs_input_grad[1]
        later = arguments[3] == NONE  # the weights of the queries come with backward
        problem = (x, labels, gallery, gallery_labels, self_index, exclude)
        with torch._C._AutoDispatchBelowAutograd():
            loss, terms, grad_x, grad_gallery = EMBEDDING_LOSS(
                *problem, None, *arguments, want_x and not later, want_gallery and not later
            )
        ctx.arguments = arguments
        ctx.save_for_backward(*(problem if later else (grad_x, grad_gallery)))
        ctx.mark_non_differentiable(terms)
        ctx.set_materialize_grads(False)
        return loss, terms

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_loss, _):
        want_x, want_gallery = ctx.needs_input_grad[:2]
        if grad_loss is None:
            return (None,) * len(ctx.needs_input_grad)
        if ctx.arguments[3] == NONE:
            problem = ctx.saved_tensors
            with torch._C._AutoDispatchBelowAutograd():
                _, _, grad_x, grad_gallery = EMBEDDING_LOSS(
                    *problem, grad_loss, *ctx.arguments, want_x, want_gallery
                )
        else:
            grad_x, grad_gallery = ctx.saved_tensors
            grad_x = grad_x * grad_loss if want_x else None
            grad_gallery = grad_gallery * grad_loss if want_gallery else None
        rest = (None,) * (len(ctx.needs_input_grad) - 2)
        return grad_x if want_x else None, grad_gallery if want_gallery else None, *rest


def embedding_loss(
    x, labels, gallery, gallery_labels, self_index, exclude, loss, params, normalize, reduction
):
    """(loss, terms) of the fused operator, differentiable in x and gallery; terms are detached."""
    if torch.compiler.is_compiling():
        wanted = torch.is_grad_enabled() and reduction != NONE
        out, terms, _, _ = EMBEDDING_LOSS(
            x,
            labels,
            gallery,
            gallery_labels,
            self_index,
            exclude,
            None,
            loss,
            params,
            normalize,
            reduction,
            wanted and x.requires_grad,
            wanted and gallery is not None and gallery.requires_grad,
        )
        return out, terms.detach()
    return _EagerEmbeddingLoss.apply(
        x,
        gallery,
        labels,
        gallery_labels,
        self_index,
        exclude,
        loss,
        params,
        normalize,
        reduction,
    )
