"""The evaluation on the native operator: operands, products, a block of queries at a time.

The operator decides by a product where that is beyond doubt and by distances from differences where
it is not (csrc/cpu/match_places.h). A query for which the latter would be very many, as there are
many near ties, waits for a product in double precision.
"""

import mmap
from contextlib import contextmanager, suppress
from typing import NamedTuple

import torch
from torch import Tensor

from drsl_cuda import _check, _ops

BLOCK = 512  # queries that are multiplied together: fewer cost the library speed
PART = 512  # terms of a float32 product that are added up in one go
BLOCK_BYTES = 256 * 2**20  # of products
CHUNK = 2**18  # numbers that a pass over rows converts at a time
CENTRE_ROWS = 64  # that a common centre is looked for in
# Distances from differences that a query may take, as a share of the gallery: beyond that a product
# in double precision is cheaper.
LIMIT, LIMIT_LEAST = 1 / 16, 64


class Operands(NamedTuple):
    """What is multiplied: scale * (features - centre), and the squared lengths of these rows."""

    query: Tensor
    gallery: Tensor
    query_norm2: Tensor
    gallery_norm2: Tensor
    scale: float
    on_grid: bool  # products are exact


def match_places(
    query, query_ids, query_cams, gallery, gallery_ids, gallery_cams, junk, distractors, report
):
    """(ap, inp, place of the first match, 0 without any) of each query."""
    total, entries = query.shape[0], gallery.shape[0]
    ap = torch.full((total,), torch.nan, dtype=torch.float64)
    inp = ap.clone()
    first = torch.zeros(total, dtype=torch.int64)
    query, gallery, *norms2 = _rows(query, gallery)
    if total == 0 or entries == 0:
        return ap, inp, first
    operands = _operands(query, gallery, norms2)
    lists = _Lists(query_ids, query_cams, gallery_ids, gallery_cams, junk, distractors)
    lists.first_equal = _first_equal(gallery, operands.gallery_norm2)
    limit = -1 if query.dtype == torch.float64 else LIMIT_LEAST + int(LIMIT * entries)

    def run(rows, gram, norms2, scale, on_grid, limit):
        results = lists.places(gram, rows, query, gallery, norms2, scale, on_grid, limit)
        for out, part in zip((ap, inp, first), results, strict=True):
            out[rows] = part

    def settle(rows):
        nonlocal wide
        wide = wide or _Wide(query, gallery)
        run(rows, *wide.products(query[rows]), -1)

    wide, at_once = None, _block(entries, 8)
    waiting = torch.empty(0, dtype=torch.int64)
    size = _block(entries, operands.query.element_size() * _parts(query))
    room = _room(_parts(query) * min(size, total) * entries, query.dtype)
    with _full_precision():
        for start in range(0, total, size):
            rows = torch.arange(start, min(start + size, total))
            products = _products(operands, start, start + size, room)
            norms2 = operands.query_norm2[rows], operands.gallery_norm2
            run(rows, products, norms2, operands.scale, operands.on_grid, limit)
            waiting = torch.cat([waiting, rows[first[rows] < 0]])
            while len(waiting) >= at_once:
                settle(waiting[:at_once])
                waiting = waiting[at_once:]
            if int(rows[-1]) + 1 < total:
                report(int(rows[-1]) + 1 - len(waiting), total)
        if len(waiting):
            settle(waiting)
    report(total, total)
    return ap, inp, first


def _products(operands, start, stop, room):
    """[parts, rows, G]: the fewer terms a sum has, the less it can be off."""
    query, gallery = operands.query[start:stop], operands.gallery
    step = -(-query.shape[1] // _parts(query))
    parts = [slice(k, k + step) for k in range(0, query.shape[1], step)]
    room = room[: len(parts) * query.shape[0] * gallery.shape[0]]
    out = room.view(len(parts), query.shape[0], gallery.shape[0])
    for part, products in zip(parts, out, strict=True):
        torch.mm(query[:, part], gallery[:, part].T, out=products)
    return out


def _room(count, dtype):
    """Uninitialised numbers. In huge pages where there are such: faulting in small ones costs 5 %."""
    room = mmap.mmap(-1, max(1, count * dtype.itemsize))
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a wish
            room.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(room, dtype=dtype, count=count)


class _Lists:
    """Who may match whom: what the operator is told beside features."""

    def __init__(self, query_ids, query_cams, gallery_ids, gallery_cams, junk, distractors):
        ids, order = gallery_ids.sort(stable=True)
        self.by_identity = order.to(torch.int32)
        self.begin = torch.searchsorted(ids, query_ids.contiguous())
        self.end = torch.searchsorted(ids, query_ids.contiguous(), right=True)
        self.end[_is_one_of(query_ids, distractors)] = 0
        self.junk = _is_one_of(gallery_ids, junk)
        self.query_cams, self.gallery_cams = query_cams, gallery_cams
        self.first_equal = None

    def places(self, gram, rows, query, gallery, norms2, scale, on_grid, limit):
        return _ops.MATCH_PLACES(
            gram,
            query[rows],
            gallery,
            norms2[0],
            norms2[1].masked_fill(self.junk, torch.inf),
            self.first_equal,
            self.by_identity,
            self.begin[rows],
            self.end[rows],
            None if self.query_cams is None else self.query_cams[rows],
            self.gallery_cams,
            scale,
            on_grid,
            limit,
        )


def _is_one_of(ids, some):
    return torch.isin(ids, torch.tensor(some, dtype=torch.int64))


def _parts(rows):
    return 1 if rows.dtype == torch.float64 else -(-rows.shape[1] // PART)


def _block(entries, item):
    return max(1, min(BLOCK, BLOCK_BYTES // (item * entries)))


def _chunks(rows):
    """Slices of rows, so many that what is done to them stays in cache."""
    step = max(1, CHUNK // rows.shape[1])
    return [slice(start, start + step) for start in range(0, rows.shape[0], step)]


def _rows(query, gallery):
    """Both as float32 or float64, and their squared lengths.

    float64 comes in a unit, a power of two, in which no square leaves its range.
    """
    dtype = torch.float64 if query.dtype == torch.float64 else torch.float32
    query, gallery = query.to(dtype).contiguous(), gallery.to(dtype).contiguous()
    norms2 = []
    for name, rows in (("query", query), ("gallery", gallery)):
        norms2.append(_ops.SQUARED_LENGTHS(rows))
        _check.finite_rows(name, rows, (~norms2[-1].isfinite()).nonzero()[:, 0])
    if dtype == torch.float32 or query.numel() == 0 or gallery.numel() == 0:
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


def _operands(query, gallery, norms2):
    largest = max(float(norm2.max()) for norm2 in norms2) ** 0.5
    bits = 53 if query.dtype == torch.float64 else 24
    scale = 1.0
    if query.dtype == torch.float32 and largest > 0 and not 2.0**-40 <= largest <= 2.0**60:
        scale = 2.0 ** -_exponent(largest)
    if _on_grid(query, gallery, norms2, bits, scale):
        centre, on_grid = None, True
    else:
        centre, on_grid = _centre(gallery), False
    if centre is None and scale == 1:
        return Operands(query, gallery, *norms2, scale, on_grid)
    query, gallery = (_operand(rows, centre, scale, rows.dtype) for rows in (query, gallery))
    return Operands(
        query, gallery, _ops.SQUARED_LENGTHS(query), _ops.SQUARED_LENGTHS(gallery), scale, on_grid
    )


def _operand(rows, centre, scale, dtype):
    """scale * (rows - centre), rounded to dtype."""
    if dtype == rows.dtype and scale == 1:
        return rows - centre.to(dtype)
    out = torch.empty_like(rows, dtype=dtype)
    for part in _chunks(rows):
        block = rows[part].double()
        out[part] = (block if centre is None else block - centre) * scale
    return out


def _centre(gallery):
    """What all rows have in common, in double precision, or None. A few outliers do not matter.

    Distances do not notice it, but lengths do, and they are what rounding is measured by.
    """
    rows = gallery[:: max(1, gallery.shape[0] // CENTRE_ROWS)][:CENTRE_ROWS].double()
    centre = rows.median(0).values
    before, after = rows.square().sum(1).median(), (rows - centre).square().sum(1).median()
    # in float32 what float32 takes away
    return centre.to(gallery.dtype).double() if after < 0.5 * before else None


def _on_grid(query, gallery, norms2, bits, scale=1.0):
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


def _first_equal(gallery, norm2):
    """For each row the first with the same numbers: what is known of one is known of the other."""
    order = torch.arange(len(norm2))
    values, group = norm2.unique(return_inverse=True)
    first = torch.full_like(values, len(norm2), dtype=torch.int64)
    first = first.scatter_reduce(0, group, order, "amin")[group]
    (later,) = (first != order).nonzero(as_tuple=True)
    for some in later.split(max(1, CHUNK // gallery.shape[1])):
        same = (gallery[some] == gallery[first[some]]).all(1)
        first[some[~same]] = some[~same]
    return first.to(torch.int32)


class _Wide:
    """Products in double precision, of as many columns at a time as are converted at once."""

    def __init__(self, query, gallery):
        norms2 = _ops.SQUARED_LENGTHS(query), _ops.SQUARED_LENGTHS(gallery)
        self.gallery, self.norm2 = gallery, torch.empty_like(norms2[1])
        self.on_grid = _on_grid(query, gallery, norms2, 53)
        self.centre = None if self.on_grid else _centre(gallery)

    def products(self, query):
        """What the operator wants to know of them: products, squared lengths, scale, on_grid."""
        query = _operand(query, self.centre, 1.0, torch.float64)
        gram = query.new_empty(query.shape[0], self.gallery.shape[0])
        step = max(1, 2**22 // query.shape[1])
        for start in range(0, self.gallery.shape[0], step):
            part = slice(start, start + step)
            block = _operand(self.gallery[part], self.centre, 1.0, torch.float64)
            torch.mm(query, block.T, out=gram[:, part])
            self.norm2[part] = _ops.SQUARED_LENGTHS(block)
        return gram[None], (_ops.SQUARED_LENGTHS(query), self.norm2), 1.0, self.on_grid


@contextmanager
def _full_precision():
    """float32 products are float32: on some CPUs torch may be told to round them to bfloat16."""
    setting = torch.backends.mkldnn.matmul
    before = setting.fp32_precision
    setting.fp32_precision = "ieee"
    try:
        yield
    finally:
        setting.fp32_precision = before
