"""What is done to single rows: types, lengths, and what a row may not do to others."""

import torch
from torch import Tensor


def accumulated(x: Tensor) -> Tensor:
    """x in the type it is computed in: float64 stays, everything else becomes float32."""
    return x if x.dtype == torch.float64 else x.to(torch.float32)


def finite_rows(x: Tensor, r: Tensor | None) -> tuple[Tensor, Tensor | None, Tensor]:
    """x and r with zeros for rows that hold NaN or infinity, and the pairs [..., B, G] without any.

    A NaN must not enter the computation, not even in a place that is masked later: backward would
    multiply it by the mask's 0. So it is taken out first, and `poison` puts NaN where it belongs.
    """
    x_finite = x.isfinite().all(-1)
    x = torch.where(x_finite[..., None], x, 0)
    if r is None:
        return x, None, x_finite[..., :, None] & x_finite[..., None, :]
    r_finite = r.isfinite().all(-1)
    r = torch.where(r_finite[..., None], r, 0)
    return x, r, x_finite[..., :, None] & r_finite[..., None, :]


def _scaled(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x / p [..., D] and, all [..., 1], its length, p, and whether x is 0 (then length is 1).

    p is the power of two at or below the largest |x_i|, so squares of x / p neither overflow nor
    lose the row to underflow, and dividing by it is exact.
    """
    peak = x.detach().abs().amax(-1, keepdim=True)
    zero = peak == 0
    power = torch.where(zero, 1, peak / (2 * torch.frexp(peak).mantissa))
    power = power.clamp(min=torch.finfo(x.dtype).tiny)
    scaled = x / power
    square = scaled.square().sum(-1, keepdim=True)
    return scaled, torch.where(zero, 1, square).sqrt(), power, zero


def norm(x: Tensor) -> Tensor:
    """|x| [..., 1], right for all finite x unless it overflows itself; derivative 0 at x = 0."""
    _, length, power, zero = _scaled(x)
    return torch.where(zero, 0, power * length)


def unit(x: Tensor) -> tuple[Tensor, Tensor]:
    """x / |x| [..., D] and which rows count as zero [..., 1]: these are 0 with derivative 0.

    A row counts as zero when |x|^2 is below the smallest normal number of its type.
    """
    scaled, length, power, zero = _scaled(x)
    zero = zero | (power * length < torch.finfo(x.dtype).tiny ** 0.5)
    return torch.where(zero, 0, scaled / length), zero


def poison(x: Tensor, r: Tensor, pairs: Tensor) -> Tensor:
    """NaN at the given pairs [..., B, G], 0 elsewhere; the gradient of both rows of a pair is NaN.

    The order of operations keeps it in its place: backward multiplies by NaN first and masks then.
    """
    both = x.sum(-1)[..., :, None] + r.sum(-1)[..., None, :]
    return torch.where(pairs, torch.where(pairs, both, 0) * float("nan"), 0)


class _Refuse(torch.autograd.Function):
    """The identity of a gradient by x, tied to x, whose backward raises."""

    @staticmethod
    def forward(ctx, gradient, x, name):
        ctx.name = name
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx, _):
        raise RuntimeError(f"{ctx.name} has a first derivative only, its second was asked for")


class _FirstDerivative(torch.autograd.Function):
    """The identity, whose gradient cannot be differentiated."""

    @staticmethod
    def forward(ctx, x, name):
        ctx.name = name
        ctx.save_for_backward(x)
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        return _Refuse.apply(gradient, *ctx.saved_tensors, ctx.name), None


def first_derivative_only(x: Tensor, name: str) -> Tensor:
    """x, whose gradient may be taken once; taking it twice raises a RuntimeError with the name."""
    return _FirstDerivative.apply(x, name)
