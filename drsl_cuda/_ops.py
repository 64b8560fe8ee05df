"""Loads the extension and tells torch what its operators return, for tracing. Autograd: _autograd.py.

What each operator computes is in csrc/; its schema is in csrc/library.cpp.
"""

from typing import Any, Final

import torch
from torch import Tensor

from drsl_cuda._torch_private import has_kernel

try:
    from drsl_cuda import _C  # type: ignore[attr-defined]
except ImportError as error:
    raise ImportError(
        f"drsl_cuda's native library cannot be loaded ({error}): "
        "run pip install --no-build-isolation . in the source tree"
    ) from error

library: Any = _C

PAIRWISE = torch.ops.drsl.pairwise.default
RANK_SORT = torch.ops.drsl.rank_sort.default
REDISTRIBUTE = torch.ops.drsl.redistribute.default
EMBEDDING_LOSS = torch.ops.drsl.embedding_loss.default
RANK_SORT_LOSS = torch.ops.drsl.rank_sort_loss.default
AP_LOSS = torch.ops.drsl.ap_loss.default
ALRP_LOSS = torch.ops.drsl.alrp_loss.default
MATCH_TILES = torch.ops.drsl.match_tiles.default
MATCH_ROWS = torch.ops.drsl.match_rows.default
FIXED_POINT = torch.ops.drsl.fixed_point.default
MATCH_DIGITS = torch.ops.drsl.match_digits.default
EXACT_DISTANCES = torch.ops.drsl.exact_distances.default
SQUARED_LENGTHS = torch.ops.drsl.squared_lengths.default

# Reductions, as the operators count them.
NONE: Final = 0
MEAN: Final = 1
SUM: Final = 2


def _devices(op: Any) -> frozenset[str]:
    """Device types that the library holds a kernel of `op` for."""
    keys = {"cpu": "CPU", "cuda": "CUDA"}
    return frozenset(device for device, key in keys.items() if has_kernel(op.name(), key))


_ON_EMBEDDINGS = (PAIRWISE, RANK_SORT, REDISTRIBUTE, EMBEDDING_LOSS)
_ON_SCORES = (RANK_SORT_LOSS, AP_LOSS, ALRP_LOSS)  # told to torch in _scores.py
DEVICES = {op: _devices(op) for op in (*_ON_EMBEDDINGS, *_ON_SCORES, MATCH_TILES, MATCH_DIGITS)}


def accumulation(dtype: torch.dtype) -> torch.dtype:
    """The type that sums are formed in, and that losses and distances come in."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def tf32(x: Tensor) -> bool:
    """Whether torch's settings let products of these rows round float32 to TF32: on GPUs only."""
    return x.is_cuda and x.dtype == torch.float32 and products_may_round()


@torch.compiler.assume_constant_result  # torch compiles anew when the setting changes
def products_may_round() -> bool:
    """What set_float32_matmul_precision, allow_tf32 or fp32_precision allow, whichever was used.

    torch.get_float32_matmul_precision() says the same, but raises once the last one was set.
    """
    return torch.backends.cuda.matmul.fp32_precision == "tf32"


def on_one_device(first, *others):
    """Called for tensors without numbers only. A call that has some with numbers comes here as well, and
    must not be given results that nobody computed."""
    for other in others:
        if other is not None and other.device != first.device:
            raise RuntimeError(
                f"drsl: all tensors must be on one device, got {first.device} and {other.device}"
            )


def _columns(x, gallery):
    return x.shape[-2] if gallery is None else gallery.shape[-2]


@torch.library.register_fake("drsl::pairwise")
def _(x, gallery, tf32=False):
    on_one_device(x, gallery)
    shape = (*x.shape[:-1], _columns(x, gallery))
    dtype = accumulation(x.dtype)
    return x.new_empty(shape, dtype=dtype), x.new_empty(shape, dtype=dtype)


@torch.library.register_fake("drsl::rank_sort")
def _(distance, cosine, labels, gallery_labels, self_index, exclude, loss, params):
    on_one_device(distance, cosine, labels, gallery_labels, self_index, exclude)
    rows = distance.shape[:-1]
    return (
        distance.new_empty(rows),
        distance.new_empty((*rows, 3)),
        torch.empty_like(distance, memory_format=torch.contiguous_format),
        torch.empty_like(distance, memory_format=torch.contiguous_format),
    )


@torch.library.register_fake("drsl::redistribute")
def _(grad_distance, grad_cosine, distance, cosine, x, gallery, tf32=False):
    on_one_device(x, gallery, grad_distance, grad_cosine, distance, cosine)
    return _gradients(x, gallery, True, True, x.dtype)


def _gradients(x, gallery, want_x, want_gallery, dtype):
    want_gallery = want_gallery and gallery is not None
    return (
        x.new_empty(x.shape if want_x else (0,), dtype=dtype),
        x.new_empty(gallery.shape if want_gallery else (0,), dtype=dtype),
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
    tf32=False,
):
    on_one_device(x, labels, gallery, gallery_labels, self_index, exclude, row_weight)
    shape = x.shape[:-1] if reduction == NONE else ()
    dtype = accumulation(x.dtype)
    return (
        x.new_empty(shape, dtype=dtype),
        x.new_empty((*shape, 3) if reduction == NONE else (3,), dtype=dtype),
        *_gradients(x, gallery, grad_x, grad_gallery, dtype),
    )


def _scores(rows):
    """ap, inp, first."""
    real = rows.new_empty(rows.shape[:1], dtype=torch.float64)
    return real, torch.empty_like(real), rows.new_empty(rows.shape[:1], dtype=torch.int64)


@torch.library.register_fake("drsl::match_tiles")
def _(x_operand, *others):
    on_one_device(x_operand, *others[:11])  # then numbers
    return _scores(x_operand)


@torch.library.register_fake("drsl::match_rows")
def _(gram, *others):
    on_one_device(gram, *others[:-1])  # on_grid
    return _scores(gram)


@torch.library.register_fake("drsl::match_digits")
def _(x, *others):
    on_one_device(x, *others[:11])  # then numbers
    return _scores(x)


@torch.library.register_fake("drsl::fixed_point")
def _(rows, centre, scale, mirrored):
    on_one_device(rows, centre)
    count, dim = rows.shape
    padded = max(32, -(-count // 16) * 16)
    return (
        rows.new_empty((padded, 3 * (-(-dim // 16) * 16)), dtype=torch.int8),
        rows.new_empty((padded, 2), dtype=torch.float32),
        rows.new_empty((count, 6), dtype=torch.float64),
    )


@torch.library.register_fake("drsl::exact_distances")
def _(x, gallery):
    on_one_device(x, gallery)
    return x.new_empty((x.shape[0], gallery.shape[0]), dtype=torch.float64)


@torch.library.register_fake("drsl::squared_lengths")
def _(rows):
    return rows.new_empty(rows.shape[:1], dtype=torch.float64)
