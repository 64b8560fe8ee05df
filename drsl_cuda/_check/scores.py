"""What losses on scores are given."""

import torch
from torch import Tensor

from drsl_cuda._check import tensors


def score_problem(scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Check scores and targets, [N] or [S, N] each. Both come back in the type to compute in.

    scores   float16, bfloat16, float32 or float64; the cast is one that autograd sees
    targets  any type of real numbers; no gradient goes to them
    """
    tensors.floating("scores", scores)
    if scores.dim() not in (1, 2):
        raise ValueError(f"scores must have shape [N] or [S, N], {tensors.got(scores)}")
    if not isinstance(targets, Tensor) or targets.layout is not torch.strided:
        tensors.not_dense("targets", targets, "a tensor of real numbers")
    if targets.is_complex():
        raise TypeError(f"targets must hold real numbers, got {targets.dtype}")
    if targets.shape != scores.shape:
        raise ValueError(
            f"targets must have the shape of scores, {list(scores.shape)}, {tensors.got(targets)}"
        )
    tensors.same_device("targets", targets, scores.device, "scores")
    dtype = torch.float64 if scores.dtype == torch.float64 else torch.float32
    return scores.to(dtype), targets.detach().to(dtype)


def regression_losses(value: Tensor, scores: Tensor, targets: Tensor) -> Tensor:
    """A number for each positive of checked scores and targets: [n], or [S, N] with sets."""
    name = "regression_losses"
    tensors.floating(name, value)
    if scores.dim() == 2 and value.shape != scores.shape:
        raise ValueError(
            f"{name} must have the shape of scores, {list(scores.shape)}, {tensors.got(value)}"
        )
    if scores.dim() == 1:
        if value.dim() != 1:
            raise ValueError(
                f"{name} must have shape [n], n the number of positives, {tensors.got(value)}"
            )
        if scores.is_cpu and not torch.compiler.is_compiling() and type(targets) is Tensor:
            positives = int((targets > 0).sum())
            if value.shape[0] != positives:
                raise ValueError(
                    f"{name} must have shape [n] = [{positives}], one for each positive, {tensors.got(value)}"
                )
    tensors.same_device(name, value, scores.device, "scores")
    return value.detach().to(scores.dtype)
