"""What an evaluation is given."""

from typing import Any

import torch
from torch import Tensor

from drsl_cuda._check import tensors


def evaluation_problem(
    query: Tensor,
    query_ids: Tensor,
    query_cams: Tensor | None,
    gallery: Tensor,
    gallery_ids: Tensor,
    gallery_cams: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor, Tensor, Tensor | None]:
    """Check the arguments of an evaluation.

    query       [Q, D]   float16, bfloat16, float32 or float64; D >= 1
    gallery     [G, D]   likewise, on the device of query
    *_ids       [Q], [G] integers
    *_cams      [Q], [G] integers, or None both

    Returns the six, detached, the rows promoted to one type, the integers as int64.
    """
    for name, rows, letter in (("query", query, "Q"), ("gallery", gallery, "G")):
        tensors.floating(name, rows)
        if rows.dim() != 2:
            raise ValueError(f"{name} must have shape [{letter}, D], {tensors.got(rows)}")
    if query.shape[1] == 0:
        raise ValueError(f"query must have rows of at least one number, {tensors.got(query)}")
    if gallery.shape[1] != query.shape[1]:
        raise ValueError(
            f"gallery must have shape [G, {query.shape[1]}] to fit query, {tensors.got(gallery)}"
        )
    tensors.same_device("gallery", gallery, query.device, "query")
    integers: list[Any] = []
    for side, rows, letter in (("query", query, "Q"), ("gallery", gallery, "G")):
        cams, other = (query_cams, "gallery") if side == "query" else (gallery_cams, "query")
        ids = {"query": query_ids, "gallery": gallery_ids}[side]
        if cams is None and (gallery_cams if side == "query" else query_cams) is not None:
            raise ValueError(f"{side}_cams must be given with {other}_cams, got None")
        for name, value in ((f"{side}_ids", ids), (f"{side}_cams", cams)):
            if value is not None or name.endswith("ids"):
                value = tensors.integers(name, value, rows.shape[0], letter, rows.device).to(
                    torch.int64
                )
            integers.append(value)
    dtype = torch.promote_types(query.dtype, gallery.dtype)
    query_ids, query_cams, gallery_ids, gallery_cams = integers
    query, gallery = query.detach().to(dtype), gallery.detach().to(dtype)
    return query, query_ids, query_cams, gallery, gallery_ids, gallery_cams


def finite_rows(name: str, rows: Tensor, doubtful: Tensor) -> None:
    """Raise for the first of the doubtful rows (indices) that holds NaN or infinity.

    It would have no place in a list.
    """
    for row in doubtful.tolist():
        wrong = rows[row][~rows[row].isfinite()]
        if len(wrong):
            raise ValueError(f"{name} must be finite, got {wrong[0].item()} in row {row}")
