"""Distances and cosines of all pairs of rows, accurate also where a product of rows is not."""

import torch
from torch import Tensor
from torch.nn.functional import embedding
from torch.utils.checkpoint import checkpoint

from drsl_cuda import _check
from drsl_cuda.reference.rows import accumulated, finite_rows, norm, poison, unit

# |x|^2 + |r|^2 - 2 x.r carries an error of some 1e-7 (|x|^2 + |r|^2) in float32. Where it is
# smaller than this share of the two squares, the distance comes from the difference x - r.
NEAR = 0.1
# Numbers in one chunk of differences.
CHUNK = 2**22


def pairwise_distance_angle(x: Tensor, r: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Euclidean distance and cosine similarity of every row of x with every row of r.

    x [B, D] or [S, B, D], r [G, D] or [S, G, D]; without r it is x itself. Both results are
    [B, G] or [S, B, G], in float64 for float64 rows and float32 otherwise.

        distance = |x_q - r_k|              derivative 0 where it is 0
        cosine   = x_q.r_k / (|x_q| |r_k|)  0 with derivative 0 where a row counts as zero

    Rows that are equal bit by bit have distance 0, cosine 1 and the same numbers against every
    other row. A pair with NaN or infinity in a row is NaN in both, and in the gradient of the two.
    """
    x, r = _check.pair(x, r)
    x, r = accumulated(x), None if r is None else accumulated(r)
    clean, clean_r, finite = finite_rows(x, r)
    distance, cosine = distance_and_cosine(clean, clean_r)
    cosine = cosine.detach().clamp(-1, 1) + (cosine - cosine.detach())
    if not finite.all():
        nan = poison(x, x if r is None else r, ~finite)
        distance, cosine = distance + nan, cosine + nan
    return distance, cosine


def distance_and_cosine(x: Tensor, r: Tensor | None) -> tuple[Tensor, Tensor]:
    """The same for finite rows in the accumulation type. Only an overflow of d is not finite."""
    own = r is None
    r = x if r is None else r

    # The bulk: one product, of rows less a constant m, since |x - r| does not mind and the smaller
    # the rows the fewer digits cancel: x.r = (x - m).(r - m) + x.m + r.m - m.m
    x_length, x_extreme = _length(x)
    r_length, r_extreme = (x_length, x_extreme) if own else _length(r)
    m = _centre(r, r_length, r_extreme, x_length, x_extreme)
    x_bulk = torch.where(x_extreme, 0, x - m)
    r_bulk = x_bulk if own else torch.where(r_extreme, 0, r - m)
    with torch.autocast(x.device.type, enabled=False):
        product = x_bulk @ r_bulk.mT
    product = _equal_columns(product, r_bulk.detach())
    if own:  # a library may add up x.r and r.x in different orders
        product = _equal_columns(product.mT, r_bulk.detach())
        product = (product + product.mT) / 2
    squares = x_bulk.square().sum(-1, keepdim=True) + r_bulk.square().sum(-1, keepdim=True).mT
    square = squares - 2 * product
    dot = product + (_uncentre(x, m, x_extreme) + _uncentre(r, m, r_extreme).mT)
    cosine = dot * (_inverse(x_length, x_extreme) * _inverse(r_length, r_extreme).mT)

    # The rest, pair by pair. A row against itself needs no computation.
    bulk = (square > NEAR * squares) & ~x_extreme & ~r_extreme.mT
    distance = torch.where(bulk, torch.where(bulk, square, 1).sqrt(), 0)
    others = ~bulk
    if own:
        others.diagonal(dim1=-2, dim2=-1).fill_(False)
        itself = 1 - unit(x.detach())[1].squeeze(-1).to(x.dtype)
        cosine = cosine.diagonal_scatter(itself, dim1=-2, dim2=-1)
    pairs = others.nonzero(as_tuple=True)
    if len(pairs[0]):
        near_distance, near_cosine = _by_difference(x, r, pairs)
        distance = distance.index_put(pairs, near_distance)
        cosine = cosine.index_put(pairs, near_cosine)
    return distance, cosine


def _length(x: Tensor) -> tuple[Tensor, Tensor]:
    """|x| [..., 1] and which rows are extreme: their squares may leave the range of the type.

    Extreme rows stay out of the product. A row of zeros is not extreme.
    """
    limits = torch.finfo(x.dtype)
    length = norm(x)
    small = (length < limits.tiny**0.5 / limits.eps) & (length > 0)
    return length, small | (length > limits.max**0.5 / 8)


def _centre(r: Tensor, r_length, r_extreme, *x_lengths) -> Tensor:
    """The mean of the rows of r [..., 1, D], a constant; 0 where that is long beside some row.

    For a row much shorter than m, the angle would drown in the terms x.m and m.m.
    """
    mean = torch.where(r_extreme, 0, r).detach().sum(-2, keepdim=True) / max(1, r.shape[-2])
    shortest = torch.full_like(mean[..., :1], torch.inf)
    for length, extreme in ((r_length, r_extreme), x_lengths):
        ordinary = torch.where(extreme | (length == 0), torch.inf, length.detach())
        if ordinary.numel():
            shortest = torch.minimum(shortest, ordinary.amin(-2, keepdim=True))
    return torch.where(norm(mean) < 2 * shortest, mean, 0)


def _uncentre(x: Tensor, m: Tensor, extreme: Tensor) -> Tensor:
    """x.m - m.m / 2 [..., 1], what one side adds to a product of centred rows."""
    return ((torch.where(extreme, 0, x) - m / 2) * m).sum(-1, keepdim=True)


def _inverse(length: Tensor, extreme: Tensor) -> Tensor:
    """1 / length [..., 1], 0 for extreme rows and rows of zeros."""
    without = extreme | (length == 0)
    return torch.where(without, 0, 1 / torch.where(without, 1, length))


def _equal_columns(product: Tensor, r: Tensor) -> Tensor:
    """Products [..., B, G] with the same values in columns whose rows of r [..., G, D] are equal.

    A matrix product may add in another order in another column. Only values change places: the
    gradient of a column stays its own.
    """
    flat = r.flatten(0, -2)
    if flat.sum(-1).unique().numel() == flat.shape[0]:
        return product  # no two rows have the same sum, so no two are equal
    number = flat.unique(dim=0, return_inverse=True)[1].view(-1, r.shape[-2])
    place = torch.arange(r.shape[-2], device=r.device).expand_as(number)
    first = torch.zeros(number.shape[0], flat.shape[0], dtype=torch.long, device=r.device)
    first = first.scatter_reduce(1, number, place, "amin", include_self=False).gather(1, number)
    first = first.view(r.shape[:-1])[..., None, :].expand_as(product)
    return product.detach().gather(-1, first) + (product - product.detach())


def _by_difference(x: Tensor, r: Tensor, pairs: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    """Distance and cosine of P pairs, given as P indices each of (set,) query and gallery row.

        d = |x - r|            cos = 1 - |x/|x| - r/|r||^2 / 2

    Backward computes a chunk again rather than keep P rows of D numbers.
    """
    query, column = pairs[-2:]
    if len(pairs) == 3:
        query, column = pairs[0] * x.shape[-2] + query, pairs[0] * r.shape[-2] + column
    x_unit, x_zero = unit(x)
    r_unit, r_zero = unit(r)
    zero = x_zero.flatten()[query] | r_zero.flatten()[column]

    def chunk(q, k, *tables):
        x, r, x_unit, r_unit = tables
        difference = embedding(q, x) / 2 - embedding(k, r) / 2  # halves, as x - r could overflow
        angle = embedding(q, x_unit) - embedding(k, r_unit)
        return 2 * norm(difference).squeeze(-1), 1 - angle.square().sum(-1) / 2

    tables = [table.flatten(0, -2) for table in (x, r, x_unit, r_unit)]
    size = max(1, CHUNK // x.shape[-1])
    results = [
        checkpoint(chunk, q, k, *tables, use_reentrant=False, preserve_rng_state=False)
        for q, k in zip(query.split(size), column.split(size), strict=True)
    ]
    distance, cosine = (torch.cat(part) for part in zip(*results, strict=True))
    return distance, torch.where(zero, 0, cosine)
