"""Rows, distances, labels, masks: what losses on embeddings are given."""

import torch
from torch import Tensor

from drsl_cuda._check import tensors
from drsl_cuda._types import Problem


def embedding_problem(
    embeddings: Tensor,
    labels: Tensor,
    gallery: Tensor | None = None,
    gallery_labels: Tensor | None = None,
    self_index: Tensor | None = None,
    exclude: Tensor | None = None,
) -> Problem:
    """Check the arguments that all losses on embeddings share.

    embeddings      [B, D] or [S, B, D]   float16, bfloat16, float32 or float64; D >= 1
    labels          [B]                   integers
    gallery         [G, D] or [S, G, D]   as many dimensions, the same S and D, or None
    gallery_labels  [G]                   integers; given exactly when gallery is
    self_index      [B]                   integers in -1 .. G-1 (G = B without a gallery), or None
    exclude         [B, G]                bool, or None

    Returns the six, with None where None came. Two changes are made on the way: embeddings and
    gallery are promoted to one type (autograd sees the cast, so each gradient returns in its own
    type), and labels and indices come back as int32 or int64, both labels in one type.
    """
    x, r, count = embeddings, None, tensors.rows("embeddings", embeddings)[-2]
    labels = tensors.integers("labels", labels, count, "B", x.device)
    if gallery is not None or gallery_labels is not None:
        x, r = tensors.promoted(
            "embeddings", x, "gallery", gallery, "gallery_labels", gallery_labels
        )
        count = r.shape[-2]
        labels, gallery_labels = _two_labels(labels, gallery_labels, count, x.device)
    if self_index is not None:
        self_index = _self_index(self_index, x.shape[-2], count, x.device)
    if exclude is not None:
        _exclude(exclude, x.shape[-2], count, x.device)
    return x, labels, r, gallery_labels, self_index, exclude


def distance_problem(
    distance: Tensor,
    cosine: Tensor,
    labels: Tensor,
    gallery_labels: Tensor | None,
    self_index: Tensor | None,
    exclude: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """The same for losses that start from distances: distance and cosine [B, G] or [S, B, G].

    Without gallery_labels the gallery is the batch, so B = G.
    """
    tensors.floating("distance", distance)
    tensors.floating("cosine", cosine)
    if distance.dim() not in (2, 3):
        raise ValueError(f"distance must have shape [B, G] or [S, B, G], {tensors.got(distance)}")
    if cosine.shape != distance.shape:
        raise ValueError(
            f"cosine must have the shape of distance, {list(distance.shape)}, {tensors.got(cosine)}"
        )
    tensors.same_device("cosine", cosine, distance.device)
    rows, columns = distance.shape[-2], distance.shape[-1]
    labels = tensors.integers("labels", labels, rows, "B", distance.device)
    if gallery_labels is not None:
        labels, gallery_labels = _two_labels(labels, gallery_labels, columns, distance.device)
    elif rows != columns:
        raise ValueError(
            "gallery_labels must be given where distance is not square, "
            f"got None with distance of shape {list(distance.shape)}"
        )
    if self_index is not None:
        self_index = _self_index(self_index, rows, columns, distance.device)
    if exclude is not None:
        _exclude(exclude, rows, columns, distance.device)
    dtype = torch.promote_types(distance.dtype, cosine.dtype)
    return distance.to(dtype), cosine.to(dtype), labels, gallery_labels, self_index, exclude


def pair(x: Tensor, r: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
    """Check the rows of pairwise_distance_angle: x [B, D] or [S, B, D], r likewise or None."""
    tensors.rows("x", x)
    return (x, None) if r is None else tensors.promoted("x", x, "r", r)


def _two_labels(
    labels: Tensor, gallery_labels: object, count: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    others = tensors.integers("gallery_labels", gallery_labels, count, "G", device)
    if labels.dtype != others.dtype:
        return labels.to(torch.int64), others.to(torch.int64)
    return labels, others


def _self_index(value: Tensor, rows: int, columns: int, device: torch.device) -> Tensor:
    value = tensors.integers("self_index", value, rows, "B", device)
    # Only a plain CPU tensor outside of a trace has values that are free to look at.
    if device.type == "cpu" and not torch.compiler.is_compiling() and type(value) is Tensor:
        low, high = map(int, value.aminmax()) if rows > 0 else (-1, -1)
        if low < -1 or high >= columns:
            wrong = low if low < -1 else high
            raise ValueError(f"self_index must be in -1 .. G-1 = {columns - 1}, got {wrong}")
    return value


def _exclude(value: Tensor, rows: int, columns: int, device: torch.device) -> None:
    if not isinstance(value, Tensor) or value.layout is not torch.strided:
        tensors.not_dense("exclude", value, "a bool tensor")
    if value.dtype != torch.bool:
        raise TypeError(f"exclude must be a bool tensor, got {value.dtype}")
    if value.dim() != 2 or value.shape[0] != rows or value.shape[1] != columns:
        raise ValueError(
            f"exclude must have shape [B, G] = [{rows}, {columns}], {tensors.got(value)}"
        )
    tensors.same_device("exclude", value, device)
