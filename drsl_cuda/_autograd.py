"""Derivatives of the operators.

The fused operator returns its gradient with its loss: the rows are at hand then, and nothing has to
be computed twice. With reduction "none" the weights of the queries come with the backward pass, so
the gradient is computed there. Gradients stay in the accumulation type until they are multiplied
with the derivative of what follows the loss: a loss scale is there to save what float16 cannot hold.
"""

import torch
from torch import Tensor

from drsl_cuda import _memory
from drsl_cuda._ops import EMBEDDING_LOSS, NONE, REDISTRIBUTE, tf32
from drsl_cuda._torch_private import below_autograd, transforms_are_active


def _refuse(name, *gradients):
    """A gradient is an output like any other to autograd: whoever differentiates one arrives here."""
    if any(gradient is not None for gradient in gradients):
        raise RuntimeError(f"drsl_cuda: {name} has a first derivative only")


def refuse_transforms(name: str) -> None:
    """torch refuses them as well, and asks whoever wrote the loss for a setup_context."""
    if transforms_are_active():
        raise RuntimeError(
            f"drsl_cuda: {name} cannot be transformed by torch.func (grad, vmap, jvp, ...): "
            "use torch.autograd.grad, and a leading dimension of sets in place of vmap"
        )


def readable(tensor: Tensor) -> bool:
    """Whether its numbers are free to look at: on a CPU, and not of a mode that has none (fake tensors)."""
    return tensor.is_cpu and type(tensor) is torch.Tensor


def _no_derivative(name):
    def backward(ctx, *gradients):
        _refuse(name, *gradients)

    torch.library.register_autograd(f"drsl::{name}", backward)


_no_derivative("rank_sort")
_no_derivative("redistribute")


def _pairwise_setup(ctx, inputs, output):
    ctx.set_materialize_grads(False)
    ctx.tf32 = inputs[2]
    ctx.save_for_backward(*inputs[:2], *output)


def _pairwise_backward(ctx, grad_distance, grad_cosine):
    x, gallery, distance, cosine = ctx.saved_tensors
    grad_distance = torch.zeros_like(distance) if grad_distance is None else grad_distance
    grad_cosine = torch.zeros_like(cosine) if grad_cosine is None else grad_cosine
    grad_x, grad_gallery = REDISTRIBUTE(
        grad_distance, grad_cosine, distance, cosine, x, gallery, ctx.tf32
    )
    return grad_x, None if gallery is None else grad_gallery, None


torch.library.register_autograd("drsl::pairwise", _pairwise_backward, setup_context=_pairwise_setup)


# The operator called directly, or traced: x, gallery are inputs 0 and 2, gradients are outputs 2 and 3.


def _loss_setup(ctx, inputs, output):
    ctx.set_materialize_grads(False)
    ctx.arguments = inputs[7:11]  # loss, params, normalize, reduction
    ctx.dtype = inputs[0].dtype
    ctx.tf32 = inputs[13]
    ctx.save_for_backward(*(inputs[:6] if inputs[10] == NONE else output[2:]))


def _loss_backward(ctx, grad_loss, *others):
    _refuse(f"{ctx.arguments[0]} loss", *others)
    wanted = ctx.needs_input_grad[0], ctx.needs_input_grad[2]
    if ctx.arguments[3] == NONE:
        gradients = EMBEDDING_LOSS(
            *ctx.saved_tensors, grad_loss, *ctx.arguments, *wanted, ctx.tf32
        )[2:]
    else:
        gradients = (gradient * grad_loss for gradient in ctx.saved_tensors)
    grad_x, grad_gallery = (
        gradient.to(ctx.dtype) if want else None
        for gradient, want in zip(gradients, wanted, strict=True)
    )
    return grad_x, None, grad_gallery, *[None] * 11


torch.library.register_autograd("drsl::embedding_loss", _loss_backward, setup_context=_loss_setup)


# The same on a shorter way: what register_autograd adds to a call outweighs a small batch.


class _FirstDerivativeOnly(torch.autograd.Function):
    """A gradient, tied to what it depends on, so that differentiating it raises.

    That is what it is a gradient of, and what it was multiplied with: torch.autograd.functional.jvp
    differentiates by the latter, and takes a gradient that is cut off for 0.
    """

    @staticmethod
    def forward(ctx, name, gradient, *inputs):
        ctx.name = name
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx, gradient):
        _refuse(ctx.name, gradient)


def _run(*arguments):
    """The operator; where memory is short, the error says how many bytes were wanted."""
    x, _, gallery, _, _, exclude = arguments[:6]
    normalize, gradient = arguments[9], arguments[11] or arguments[12]
    numbers = x.numel() + x.shape[-2] * (x if gallery is None else gallery).shape[-2]

    def wanted():
        return _memory.of_embeddings(x, gallery, exclude, gradient, normalize)

    return _memory.run(numbers, wanted, x.device, EMBEDDING_LOSS, *arguments)


class _EagerEmbeddingLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, gallery, labels, gallery_labels, self_index, exclude, *arguments):
        problem = (x, labels, gallery, gallery_labels, self_index, exclude)
        later = arguments[3] == NONE
        want_x, want_gallery, *_ = ctx.needs_input_grad
        ctx.tf32 = tf32(x)
        with below_autograd():
            loss, terms, grad_x, grad_gallery = _run(
                *problem,
                None,
                *arguments,
                want_x and not later,
                want_gallery and not later,
                ctx.tf32,
            )
        ctx.arguments = arguments
        ctx.dtype = x.dtype
        ctx.gradients = None if later else (grad_x, grad_gallery)
        ctx.save_for_backward(*problem)
        ctx.mark_non_differentiable(terms)
        ctx.set_materialize_grads(False)
        return loss, terms

    @staticmethod
    def backward(ctx, grad_loss, _):
        want_x, want_gallery, *rest = ctx.needs_input_grad
        if grad_loss is None:
            return None, None, *[None for _ in rest]
        tied = torch.is_grad_enabled()  # create_graph
        # Looked at once, since a checkpoint allows no more, and not below autograd, since it runs
        # forward again for them; not at all where the gradient is at hand.
        problem = ctx.saved_tensors if tied or ctx.gradients is None else None
        grad_x, grad_gallery = _gradients(ctx, problem, grad_loss, want_x, want_gallery)
        if tied:
            name, inputs = f"{ctx.arguments[0]} loss", (grad_loss, problem[0], problem[2])
            if want_x:
                grad_x = _FirstDerivativeOnly.apply(name, grad_x, *inputs)
            if want_gallery:
                grad_gallery = _FirstDerivativeOnly.apply(name, grad_gallery, *inputs)
        return grad_x, grad_gallery, *[None for _ in rest]


def _gradients(ctx, problem, grad_loss, want_x, want_gallery):
    """Gradients of x and gallery, None where not wanted. They are the caller's to keep."""
    grad_loss = grad_loss.detach()
    weights = grad_loss if ctx.arguments[3] == NONE else None
    gradients, ctx.gradients = ctx.gradients, None  # handed over: a second backward computes anew
    if gradients is None:
        with below_autograd():
            gradients = _run(*problem, weights, *ctx.arguments, want_x, want_gallery, ctx.tf32)[2:]
    # On a CPU it costs nothing to see that there is nothing to do.
    scaled = weights is not None or (readable(grad_loss) and grad_loss.item() == 1.0)
    finished = []
    for gradient, want in zip(gradients, (want_x, want_gallery), strict=True):
        if not want:
            finished.append(None)
            continue
        if not scaled:
            gradient.mul_(grad_loss)
        finished.append(gradient if gradient.dtype is ctx.dtype else gradient.to(ctx.dtype))
    return finished


def embedding_loss(
    x: Tensor,
    labels: Tensor,
    gallery: Tensor | None,
    gallery_labels: Tensor | None,
    self_index: Tensor | None,
    exclude: Tensor | None,
    loss: str,
    params: list[float],
    normalize: bool,
    reduction: int,
) -> tuple[Tensor, Tensor]:
    """(loss, terms) of the fused operator, differentiable in x and gallery; terms are detached."""
    problem = (labels, gallery_labels, self_index, exclude)
    arguments = (loss, params, normalize, reduction)
    if not torch.compiler.is_compiling():
        refuse_transforms(f"{loss} loss")
        return _EagerEmbeddingLoss.apply(x, gallery, *problem, *arguments)
    now = torch.is_grad_enabled() and reduction != NONE
    wanted = now and x.requires_grad, now and gallery is not None and gallery.requires_grad
    out, terms, _, _ = EMBEDDING_LOSS(
        x, labels, gallery, *problem[1:], None, *arguments, *wanted, tf32(x)
    )
    return out, terms.detach()
