"""The evaluation in plain PyTorch: any device with float64, every distance from differences.

A block of queries at a time is compared with the whole gallery and sorted: slow, and obvious.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from drsl_cuda import _check

BLOCK_BYTES = 64 * 2**20  # of distances


def match_places(
    query: Tensor,
    query_ids: Tensor,
    query_cams: Tensor | None,
    gallery: Tensor,
    gallery_ids: Tensor,
    gallery_cams: Tensor | None,
    junk: tuple[int, ...],
    distractors: tuple[int, ...],
    report: Callable[[int, int], object],
    distances: Callable[[slice], Tensor] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """(ap, inp, place of the first match, 0 without any) of each query.

    distances: a function that gives those of some queries, a slice; or None.
    """
    total, entries = query.shape[0], gallery.shape[0]
    device = query.device
    for name, features in (("query", query), ("gallery", gallery)):
        _check.finite_rows(name, features, (~features.isfinite().all(1)).nonzero()[:1, 0])
    ap = torch.full((total,), torch.nan, dtype=torch.float64, device=device)
    inp = ap.clone()
    first = torch.zeros(total, dtype=torch.int64, device=device)
    if total == 0 or entries == 0:
        return ap, inp, first
    left_out = torch.isin(gallery_ids, torch.tensor(junk, dtype=torch.int64, device=device))
    never = torch.isin(query_ids, torch.tensor(distractors, dtype=torch.int64, device=device))
    if distances is None:
        unit = _unit(query, gallery)

        def distances(rows):
            return _distances(query[rows], gallery, unit)

    size = max(1, BLOCK_BYTES // (8 * entries))
    for start in range(0, total, size):
        rows = slice(start, min(start + size, total))
        same = query_ids[rows, None] == gallery_ids
        listed = ~left_out.expand_as(same)
        if query_cams is not None:
            listed = listed & ~(same & (query_cams[rows, None] == gallery_cams))
        order = distances(rows).argsort(dim=1, stable=True)
        match = (same & listed & ~never[rows, None]).gather(1, order)
        place = listed.gather(1, order).cumsum(1)  # of the entries that are left
        found = match.cumsum(1)
        count = found[:, -1]
        valid = count > 0
        precision = torch.where(match, found.double() / place.clamp(min=1), 0)
        ap[rows] = torch.where(valid, precision.sum(1) / count, torch.nan)
        last = torch.where(match, place, 0).amax(1)
        inp[rows] = torch.where(valid, count.double() / last, torch.nan)
        nearest = torch.where(match, place, entries + 1).amin(1)
        first[rows] = torch.where(valid, nearest, 0)
        report(rows.stop, total)
    return ap, inp, first


def _unit(query: Tensor, gallery: Tensor) -> float:
    """A power of two near the largest number, if squares of float64 would leave its range, or 1."""
    largest = max(float(rows.double().abs().amax()) for rows in (query, gallery))
    if largest == 0 or 1e-120 <= largest <= 1e120:
        return 1.0
    exponent = torch.frexp(torch.tensor(largest, dtype=torch.float64)).exponent
    return 2.0 ** min(int(exponent), 1023)


def _distances(query: Tensor, gallery: Tensor, unit: float) -> Tensor:
    """[rows, G] in float64, a part of the gallery at a time."""
    query = query.double() / unit
    parts = gallery.split(max(1, 2**22 // gallery.shape[1]))
    direct = "donot_use_mm_for_euclid_dist"
    return torch.cat(
        [torch.cdist(query, part.double() / unit, compute_mode=direct) for part in parts], 1
    )
