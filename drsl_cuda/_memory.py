"""How many bytes a problem on the CPU wants: said before they are asked for, and when they were refused.

On a GPU torch's allocator says so itself.
"""

import functools
import os
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from drsl_cuda import _ops

_Result = TypeVar("_Result")

LOOK_FROM = 2**28  # numbers; smaller problems are not worth the time


@functools.cache
def installed() -> int | None:
    """Bytes of memory in this machine, or None where it does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def of_embeddings(
    x: Tensor, gallery: Tensor | None, exclude: Tensor | None, gradient: bool, normalize: bool
) -> int:
    """Bytes of a loss on embeddings: workspace, gradients, and copies of what is not contiguous."""
    item = _ops.accumulation(x.dtype).itemsize
    given = [t for t in (x, gallery) if t is not None]
    plan = _ops.library.plan(
        device="cpu",
        sets=x.shape[0] if x.dim() == 3 else 1,
        rows=x.shape[-2],
        columns=given[-1].shape[-2],
        dim=x.shape[-1],
        self=gallery is None,
        gradient=gradient,
        item=item,
        normalize=normalize,
    )
    wanted = plan["workspace_bytes"] + sum(t.numel() * item for t in given if gradient)
    copied = [t for t in (*given, exclude) if t is not None and not t.is_contiguous()]
    return wanted + sum(t.numel() * t.element_size() for t in copied)


def of_pairs(x: Tensor, r: Tensor | None) -> int:
    """Bytes of distances and cosines of all pairs."""
    columns = (x if r is None else r).shape[-2]
    return 2 * x.shape[:-1].numel() * columns * _ops.accumulation(x.dtype).itemsize


def of_scores(scores: Tensor) -> int:
    """Bytes of a loss on scores: scores, targets and a gradient, and sums beside each entry."""
    return 4 * scores.numel() * scores.element_size()


def run(
    numbers: int,
    wanted: Callable[[], int],
    device: torch.device,
    call: Callable[..., _Result],
    *arguments: Any,
) -> _Result:
    """call(*arguments), which handles so many numbers; wanted() tells the bytes.

    Raises MemoryError, with the bytes, at once where the machine does not have them, and if an
    allocation fails on the way. What was given stays as it was.
    """
    if device.type != "cpu" or torch.compiler.is_compiling():
        return call(*arguments)
    have = installed() if numbers >= LOOK_FROM else None
    if have is not None and wanted() > have:
        raise MemoryError(
            f"this problem wants {wanted():,} bytes of memory, the machine has {have:,}"
        )
    try:
        return call(*arguments)
    except (MemoryError, RuntimeError) as error:
        if not _is_about_memory(error):
            raise
        raise MemoryError(
            f"this problem wants {wanted():,} bytes of memory, which could not be had"
        ) from error


def _is_about_memory(error: Exception) -> bool:
    """Whether an allocation failed: ours, or one by torch, whose C interface says no more than who."""
    text = str(error)
    refused = ("aten::empty", "aten::contiguous", "allocate memory")
    return isinstance(error, MemoryError) or any(what in text for what in refused)
