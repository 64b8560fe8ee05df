"""The operators of the losses on scores: what they return, for tracing, and their derivatives.

A forward pass returns its gradient with its loss: the sums are at hand then. What follows a loss
only scales its gradient, so backward is a product. Rank & Sort has two losses; nearly always both
are scaled alike (they are added), so one gradient of both together is made, and the two of them
anew in the rare other case. Where values cannot be looked at, in a trace or on another device, each
is made at once.
"""

import torch
from torch import Tensor

from drsl_cuda._autograd import _FirstDerivativeOnly, _refuse, readable, refuse_transforms
from drsl_cuda._ops import ALRP_LOSS, AP_LOSS, RANK_SORT_LOSS, on_one_device
from drsl_cuda._torch_private import below_autograd


def _losses(scores, count):
    return [scores.new_empty(scores.shape[:-1]) for _ in range(count)]


def _gradient(scores, wanted):
    return scores.new_empty(scores.shape if wanted else (0,))


@torch.library.register_fake("drsl::rank_sort_loss")
def _(scores, targets, delta, grad, apart=False):
    on_one_device(scores, targets)
    return *_losses(scores, 2), _gradient(scores, grad), _gradient(scores, grad and apart)


@torch.library.register_fake("drsl::ap_loss")
def _(scores, targets, delta, interpolated, grad):
    on_one_device(scores, targets)
    return *_losses(scores, 1), _gradient(scores, grad)


@torch.library.register_fake("drsl::alrp_loss")
def _(scores, targets, regression_losses, delta, grad):
    on_one_device(scores, targets, regression_losses)
    shape = regression_losses.shape
    order = scores.new_empty(shape, dtype=torch.int64)
    return *_losses(scores, 1), scores.new_empty(shape), order, _gradient(scores, grad)


# The operators called directly, or traced.


def _register(name, arguments, gradients):
    """Autograd of an operator whose last `gradients` outputs are those of its first, one each.

    It has so many arguments, the last of which, one for each gradient, ask for these.
    """

    def setup(ctx, inputs, output):
        ctx.set_materialize_grads(False)
        ctx.made = all(inputs[-gradients:])
        ctx.save_for_backward(*output[-gradients:])

    def backward(ctx, *grads):
        _refuse(name, *grads[-gradients:])
        if not ctx.made:
            raise RuntimeError(f"drsl_cuda: {name} was called without asking for its gradients")
        total = None
        for gradient, by in zip(ctx.saved_tensors, grads[:gradients], strict=True):
            if by is not None:
                part = gradient * by[..., None]
                total = part if total is None else total + part
        return total, *[None] * (arguments - 1)

    torch.library.register_autograd(f"drsl::{name}", backward, setup_context=setup)


_register("rank_sort_loss", 5, 2)
_register("ap_loss", 5, 1)
_register("alrp_loss", 5, 1)


# The same on a shorter way, where values may be looked at.


def _saved(ctx, at_hand):
    """What forward was given, or nothing where it is not needed: looked at once, as a checkpoint allows no
    more.
    """
    return None if at_hand and not torch.is_grad_enabled() else ctx.saved_tensors


def _finish(ctx, saved, gradient, *by):
    """The gradient as autograd is to have it, once it has been multiplied with `by`."""
    if torch.is_grad_enabled():  # create_graph
        return _FirstDerivativeOnly.apply(ctx.name, gradient, saved[0], *by)
    return gradient


def _times(gradient, by):
    """gradient *= by, which costs nothing where there is nothing to do."""
    by = by.detach()
    if not (by.dim() == 0 and readable(by) and by.item() == 1.0):
        gradient.mul_(by[..., None])
    return gradient


class _EagerRankSort(torch.autograd.Function):
    name = "rank_sort_loss"

    @staticmethod
    def forward(ctx, scores, targets, delta):
        ctx.name, ctx.delta = _EagerRankSort.name, delta
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(scores, targets)
        apart = not scores.is_cpu
        ranking, sorting, *ctx.gradients = _run(
            RANK_SORT_LOSS, scores, targets, delta, ctx.needs_input_grad[0], apart
        )
        return ranking, sorting

    @staticmethod
    def backward(ctx, by_ranking, by_sorting):
        if by_ranking is None and by_sorting is None:
            return None, None, None
        alike = by_ranking is not None and by_sorting is not None and readable(by_ranking)
        alike = alike and torch.equal(by_ranking, by_sorting)
        gradients, ctx.gradients = ctx.gradients, None  # handed over: a second backward starts anew
        at_hand = gradients is not None and (alike or gradients[1].shape == gradients[0].shape)
        saved = _saved(ctx, at_hand)
        if not at_hand:
            gradients = _run(RANK_SORT_LOSS, *saved, ctx.delta, True, not alike)[2:]
        if by_ranking is None or by_sorting is None:
            by, gradient = (by_ranking, 0) if by_sorting is None else (by_sorting, 1)
            return _finish(ctx, saved, _times(gradients[gradient], by), by), None, None
        total = _times(gradients[0], by_ranking)
        if not alike:
            total.addcmul_(gradients[1], by_sorting.detach()[..., None])
        return _finish(ctx, saved, total, by_ranking, by_sorting), None, None


class _EagerOneLoss(torch.autograd.Function):
    """Operators that return (loss, ..., gradient): loss and what lies between."""

    @staticmethod
    def forward(ctx, scores, op, name, *arguments):
        ctx.op, ctx.name = op, name
        ctx.numbers = [a for a in arguments if not isinstance(a, torch.Tensor)]
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(scores, *[a for a in arguments if isinstance(a, torch.Tensor)])
        *outputs, ctx.gradient = _run(op, scores, *arguments, ctx.needs_input_grad[0])
        ctx.mark_non_differentiable(*outputs[1:])
        return tuple(outputs) if len(outputs) > 1 else outputs[0]

    @staticmethod
    def backward(ctx, by, *_):
        nothing = [None] * (len(ctx.needs_input_grad) - 1)
        if by is None:
            return None, *nothing
        gradient, ctx.gradient = ctx.gradient, None
        saved = _saved(ctx, gradient is not None)
        if gradient is None:
            gradient = _run(ctx.op, *saved, *ctx.numbers, True)[-1]
        return _finish(ctx, saved, _times(gradient, by), by), *nothing


def _run(op, *arguments):
    with below_autograd():
        return op(*arguments)


def _traced(op, scores, *arguments):
    return op(scores, *arguments, torch.is_grad_enabled() and scores.requires_grad)


def rank_sort_loss(scores: Tensor, targets: Tensor, delta: float) -> tuple[Tensor, Tensor]:
    """(ranking, sorting), each with its own gradient."""
    if not torch.compiler.is_compiling():
        refuse_transforms("rank_sort_loss")
        return _EagerRankSort.apply(scores, targets, delta)
    grad = torch.is_grad_enabled() and scores.requires_grad
    return RANK_SORT_LOSS(scores, targets, delta, grad, grad)[:2]


def ap_loss(scores: Tensor, targets: Tensor, delta: float, interpolated: bool) -> Tensor:
    if not torch.compiler.is_compiling():
        refuse_transforms("ap_loss")
        return _EagerOneLoss.apply(scores, AP_LOSS, "ap_loss", targets, delta, interpolated)
    return _traced(AP_LOSS, scores, targets, delta, interpolated)[0]


def alrp_loss(
    scores: Tensor, targets: Tensor, regression_losses: Tensor, delta: float
) -> tuple[Tensor, Tensor, Tensor]:
    """(loss, rank, order), the latter two without gradient."""
    arguments = targets, regression_losses, delta
    if not torch.compiler.is_compiling():
        refuse_transforms("alrp_loss")
        return _EagerOneLoss.apply(scores, ALRP_LOSS, "alrp_loss", *arguments)
    loss, rank, order, _ = _traced(ALRP_LOSS, scores, *arguments)
    return loss, rank.detach(), order
