"""One tensor: its type, shape and device; and the words for what came."""

from typing import NoReturn

import torch
from torch import Tensor

FLOATING = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
INTEGER = (
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.uint16,
    torch.uint32,
    torch.uint64,
)


def rows(name: str, value: Tensor) -> torch.Size:
    floating(name, value)
    shape = value.shape
    if not 2 <= len(shape) <= 3:
        raise ValueError(f"{name} must have shape [B, D] or [S, B, D], {got(value)}")
    if shape[-1] == 0:
        raise ValueError(f"{name} must have rows of at least one number, {got(value)}")
    return shape


def floating(name: str, value: Tensor) -> None:
    if not isinstance(value, Tensor) or value.layout is not torch.strided or value.is_nested:
        not_dense(name, value, "a floating tensor")
    if value.dtype not in FLOATING:
        raise TypeError(f"{name} must be float16, bfloat16, float32 or float64, got {value.dtype}")


def not_dense(name: str, value: object, wanted: str) -> NoReturn:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be {wanted}, got {kind(value)}")
    came = "a nested tensor" if value.is_nested else f"layout {value.layout}"
    raise TypeError(f"{name} must be a dense tensor, got {came}")


def promoted(
    x_name: str,
    x: Tensor,
    r_name: str,
    r: Tensor | None,
    labels_name: str | None = None,
    labels: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Rows r that fit rows x, both in one type; with labels_name, labels must come with them."""
    if r is None:
        raise ValueError(f"{r_name} must be given with {labels_name}, got None")
    if labels_name is not None and labels is None:
        raise ValueError(f"{labels_name} must be given with {r_name}, got None")
    have, want = rows(r_name, r), x.shape
    if len(have) != len(want) or have[:-2] != want[:-2] or have[-1] != want[-1]:
        wanted = ", ".join(["G" if i == len(want) - 2 else str(n) for i, n in enumerate(want)])
        raise ValueError(f"{r_name} must have shape [{wanted}] to fit {x_name}, {got(r)}")
    same_device(r_name, r, x.device, x_name)
    if r.dtype != x.dtype:
        dtype = torch.promote_types(x.dtype, r.dtype)
        return x.to(dtype), r.to(dtype)
    return x, r


def integers(name: str, value: object, count: int, letter: str, device: torch.device) -> Tensor:
    if not isinstance(value, Tensor) or value.layout is not torch.strided:
        not_dense(name, value, "an integer tensor")
    dtype = value.dtype
    if dtype not in INTEGER:
        raise TypeError(f"{name} must hold integers, got {dtype}")
    shape = value.shape
    if len(shape) != 1 or shape[0] != count:
        raise ValueError(f"{name} must have shape [{letter}] = [{count}], got {list(shape)}")
    if value.device != device:
        same_device(name, value, device)
    return value if dtype is torch.int64 or dtype is torch.int32 else value.to(torch.int64)


def same_device(name: str, value: Tensor, device: torch.device, like: str = "embeddings") -> None:
    if value.device != device:
        raise ValueError(f"{name} must be on the device of {like}, {device}, got {value.device}")


def got(value: Tensor) -> str:
    return f"got {list(value.shape)}"


def kind(value: object) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
