"""What is multiplied: features in one type, without what all have in common, and in a good unit."""

from typing import NamedTuple

import torch
from torch import Tensor

from drsl_cuda import _check, _ops

CHUNK = 2**18  # numbers that a pass over rows converts at a time
CENTRE_ROWS = 64  # that a common centre is looked for in


class Operands(NamedTuple):
    """What is multiplied: scale * (features - centre), and the squared lengths of these rows."""

    query: Tensor
    gallery: Tensor
    query_norm2: Tensor
    gallery_norm2: Tensor
    scale: float
    on_grid: bool  # products are exact


def rows_of(query, gallery):
    """Both as float32 or float64, and their squared lengths."""
    dtype = torch.float64 if query.dtype == torch.float64 else torch.float32
    return rows_in_range(query.to(dtype).contiguous(), gallery.to(dtype).contiguous())


def rows_in_range(query, gallery):
    """Both, and their squared lengths; an error for rows that are not finite.

    float64 comes in a unit, a power of two, in which no square leaves its range.
    """
    norms2 = []
    for name, rows in (("query", query), ("gallery", gallery)):
        norms2.append(_ops.SQUARED_LENGTHS(rows))
        _check.finite_rows(name, rows, (~norms2[-1].isfinite()).nonzero()[:, 0])
    if query.dtype != torch.float64 or query.numel() == 0 or gallery.numel() == 0:
        return query, gallery, *norms2
    largest = max(float(rows.abs().amax()) for rows in (query, gallery))
    if largest == 0 or 2.0**-400 <= largest <= 2.0**400:
        return query, gallery, *norms2
    power = -_exponent(largest)
    first, second = 2.0 ** (power // 2), 2.0 ** (power - power // 2)  # both in range
    query, gallery = query * first * second, gallery * first * second
    return query, gallery, _ops.SQUARED_LENGTHS(query), _ops.SQUARED_LENGTHS(gallery)


def _exponent(value):
    return int(torch.frexp(torch.tensor(value, dtype=torch.float64)).exponent)


def operands_of(query, gallery, norms2):
    largest = max(float(norm2.max()) for norm2 in norms2) ** 0.5
    bits = 53 if query.dtype == torch.float64 else 24
    scale = 1.0
    if query.dtype == torch.float32 and largest > 0 and not 2.0**-40 <= largest <= 2.0**60:
        scale = 2.0 ** -_exponent(largest)
    if is_on_grid(query, gallery, norms2, bits, scale):
        centre, on_grid = None, True
    else:
        centre, on_grid = centre_of(gallery), False
    if centre is None and scale == 1:  # the same tensors, and no second copy
        return Operands(query, gallery, *norms2, scale, on_grid)
    query, gallery = (converted(rows, centre, scale, rows.dtype) for rows in (query, gallery))
    return Operands(
        query, gallery, _ops.SQUARED_LENGTHS(query), _ops.SQUARED_LENGTHS(gallery), scale, on_grid
    )


def converted(rows, centre, scale, dtype):
    """scale * (rows - centre), rounded to dtype."""
    if dtype == rows.dtype and scale == 1:
        return rows if centre is None else rows - centre.to(dtype)
    out = torch.empty_like(rows, dtype=dtype)
    for part in _chunks(rows):
        block = rows[part].double()
        out[part] = (block if centre is None else block - centre) * scale
    return out


def centre_of(gallery):
    """What all rows have in common, in double precision, or None. A few outliers do not matter.

    Distances do not notice it, but lengths do, and they are what rounding is measured by.
    """
    rows = gallery[:: max(1, gallery.shape[0] // CENTRE_ROWS)][:CENTRE_ROWS].double()
    # the lower median, by a sort: median(0) is not deterministic on a GPU, and refuses where it has to be
    centre = rows.sort(0).values[(len(rows) - 1) // 2]
    before, after = rows.square().sum(1).median(), (rows - centre).square().sum(1).median()
    # in float32 what float32 takes away
    return centre.to(gallery.dtype).double() if after < 0.5 * before else None


def is_on_grid(query, gallery, norms2, bits, scale=1.0):
    """Whether all numbers are multiples of a power of two g with (|x| + |r|)^2 < 2^bits g^2.

    Then so are all sums of products, none needs more digits than there are, and nothing is rounded.
    """
    reach = sum(float(norm2.max()) ** 0.5 for norm2 in norms2) * scale
    if reach == 0:
        return True
    power = (bits - 1) // 2 - _exponent(reach)  # 1 / g
    for rows in (query, gallery):
        for part in _chunks(rows):
            block = rows[part] if scale == 1 else rows[part].double() * scale
            # there and back: what vanishes on the way is not on the grid
            if not torch.equal((block * 2.0**power).round_() * 2.0**-power, block):
                return False
    return True


def _chunks(rows):
    """Slices of rows, so many that what is done to them stays in cache."""
    step = max(1, CHUNK // rows.shape[1])
    return [slice(start, start + step) for start in range(0, rows.shape[0], step)]
