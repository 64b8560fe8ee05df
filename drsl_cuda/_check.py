"""The one validator of arguments.

Every function here returns what it was given, checked, or raises: TypeError for a thing of the
wrong kind, ValueError for one of the right kind that does not fit. A message names the argument,
what was wanted and what came. The plain call pays for this on every training step, so the checks
that pass are a few attribute reads and the messages are built only on the way out.

Nothing here reads the values of a tensor, with two exceptions, on CPU, outside of a trace: the range
of `self_index`, and how many `regression_losses` there should be. So the checks can be traced with
dynamic shapes and never stop a device. An evaluation is no training step: `finite_rows` looks.
"""

import sys

import torch
from torch import Tensor

_LARGEST = sys.float_info.max
_FLOATING = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_INTEGER = (
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.uint16,
    torch.uint32,
    torch.uint64,
)


def embedding_problem(
    embeddings,
    labels,
    gallery=None,
    gallery_labels=None,
    self_index=None,
    exclude=None,
):
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
    x, r, count = embeddings, None, _rows("embeddings", embeddings)[-2]
    labels = _integers("labels", labels, count, "B", x.device)
    if gallery is not None or gallery_labels is not None:
        x, r = _promoted("embeddings", x, "gallery", gallery, "gallery_labels", gallery_labels)
        count = r.shape[-2]
        labels, gallery_labels = _two_labels(labels, gallery_labels, count, x.device)
    if self_index is not None:
        self_index = _self_index(self_index, x.shape[-2], count, x.device)
    if exclude is not None:
        _exclude(exclude, x.shape[-2], count, x.device)
    return x, labels, r, gallery_labels, self_index, exclude


def distance_problem(distance, cosine, labels, gallery_labels, self_index, exclude):
    """The same for losses that start from distances: distance and cosine [B, G] or [S, B, G].

    Without gallery_labels the gallery is the batch, so B = G.
    """
    _floating("distance", distance)
    _floating("cosine", cosine)
    if distance.dim() not in (2, 3):
        raise ValueError(f"distance must have shape [B, G] or [S, B, G], {_got(distance)}")
    if cosine.shape != distance.shape:
        raise ValueError(
            f"cosine must have the shape of distance, {list(distance.shape)}, {_got(cosine)}"
        )
    _same_device("cosine", cosine, distance.device)
    rows, columns = distance.shape[-2], distance.shape[-1]
    labels = _integers("labels", labels, rows, "B", distance.device)
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


def pair(x, r=None):
    """Check the rows of pairwise_distance_angle: x [B, D] or [S, B, D], r likewise or None."""
    _rows("x", x)
    return (x, None) if r is None else _promoted("x", x, "r", r)


def score_problem(scores, targets):
    """Check scores and targets, [N] or [S, N] each. Both come back in the type to compute in.

    scores   float16, bfloat16, float32 or float64; the cast is one that autograd sees
    targets  any type of real numbers; no gradient goes to them
    """
    _floating("scores", scores)
    if scores.dim() not in (1, 2):
        raise ValueError(f"scores must have shape [N] or [S, N], {_got(scores)}")
    if not isinstance(targets, Tensor) or targets.layout is not torch.strided:
        _not_dense("targets", targets, "a tensor of real numbers")
    if targets.is_complex():
        raise TypeError(f"targets must hold real numbers, got {targets.dtype}")
    if targets.shape != scores.shape:
        raise ValueError(
            f"targets must have the shape of scores, {list(scores.shape)}, {_got(targets)}"
        )
    _same_device("targets", targets, scores.device, "scores")
    dtype = torch.float64 if scores.dtype == torch.float64 else torch.float32
    return scores.to(dtype), targets.detach().to(dtype)


def regression_losses(value, scores, targets):
    """A number for each positive of checked scores and targets: [n], or [S, N] with sets."""
    name = "regression_losses"
    _floating(name, value)
    if scores.dim() == 2 and value.shape != scores.shape:
        raise ValueError(
            f"{name} must have the shape of scores, {list(scores.shape)}, {_got(value)}"
        )
    if scores.dim() == 1:
        if value.dim() != 1:
            raise ValueError(
                f"{name} must have shape [n], n the number of positives, {_got(value)}"
            )
        if scores.is_cpu and not torch.compiler.is_compiling() and type(targets) is Tensor:
            positives = int((targets > 0).sum())
            if value.shape[0] != positives:
                raise ValueError(
                    f"{name} must have shape [n] = [{positives}], one for each positive, {_got(value)}"
                )
    _same_device(name, value, scores.device, "scores")
    return value.detach().to(scores.dtype)


def evaluation_problem(query, query_ids, query_cams, gallery, gallery_ids, gallery_cams):
    """Check the arguments of an evaluation.

    query       [Q, D]   float16, bfloat16, float32 or float64; D >= 1
    gallery     [G, D]   likewise, on the device of query
    *_ids       [Q], [G] integers
    *_cams      [Q], [G] integers, or None both

    Returns the six, detached, the rows promoted to one type, the integers as int64.
    """
    for name, rows, letter in (("query", query, "Q"), ("gallery", gallery, "G")):
        _floating(name, rows)
        if rows.dim() != 2:
            raise ValueError(f"{name} must have shape [{letter}, D], {_got(rows)}")
    if query.shape[1] == 0:
        raise ValueError(f"query must have rows of at least one number, {_got(query)}")
    if gallery.shape[1] != query.shape[1]:
        raise ValueError(
            f"gallery must have shape [G, {query.shape[1]}] to fit query, {_got(gallery)}"
        )
    _same_device("gallery", gallery, query.device, "query")
    integers = []
    for side, rows, letter in (("query", query, "Q"), ("gallery", gallery, "G")):
        cams, other = (query_cams, "gallery") if side == "query" else (gallery_cams, "query")
        ids = {"query": query_ids, "gallery": gallery_ids}[side]
        if cams is None and (gallery_cams if side == "query" else query_cams) is not None:
            raise ValueError(f"{side}_cams must be given with {other}_cams, got None")
        for name, value in ((f"{side}_ids", ids), (f"{side}_cams", cams)):
            if value is not None or name.endswith("ids"):
                value = _integers(name, value, rows.shape[0], letter, rows.device).to(torch.int64)
            integers.append(value)
    dtype = torch.promote_types(query.dtype, gallery.dtype)
    query_ids, query_cams, gallery_ids, gallery_cams = integers
    query, gallery = query.detach().to(dtype), gallery.detach().to(dtype)
    return query, query_ids, query_cams, gallery, gallery_ids, gallery_cams


def finite_rows(name, rows, doubtful):
    """Raise for the first of the doubtful rows (indices) that holds NaN or infinity.

    It would have no place in a list.
    """
    for row in doubtful.tolist():
        wrong = rows[row][~rows[row].isfinite()]
        if len(wrong):
            raise ValueError(f"{name} must be finite, got {wrong[0].item()} in row {row}")


def whole(name, value, low):
    """An int, at least `low`."""
    if type(value) is bool or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, got {_kind(value)}")
    if value < low:
        raise ValueError(f"{name} must be >= {low}, got {value}")
    return value


def identities(name, value):
    """A tuple of the integers in a list, tuple, set or range."""
    if not isinstance(value, (list, tuple, set, frozenset, range)):
        raise TypeError(f"{name} must be a sequence of integers, got {_kind(value)}")
    for one in value:
        if type(one) is bool or not isinstance(one, int):
            raise TypeError(f"{name} must hold integers, got {_kind(one)}")
        if not -(2**63) <= one < 2**63:
            raise ValueError(f"{name} must hold numbers of 64 bits, got {one}")
    return tuple(value)


def number(name, value, low=None, low_open=False):
    """A finite real number as a float, at least `low` (above it with `low_open`)."""
    kind = type(value)
    if kind is not float and (kind is bool or not isinstance(value, (int, float))):
        raise TypeError(f"{name} must be a number, got {_kind(value)}")
    if not -_LARGEST <= value <= _LARGEST:
        raise ValueError(f"{name} must be finite, got {value}")
    if low is not None and (value <= low if low_open else value < low):
        raise ValueError(f"{name} must be {'>' if low_open else '>='} {low:g}, got {value}")
    return float(value)


def margin(value):
    """A finite number, at least 0, as a float, or None."""
    if value is None or isinstance(value, (int, float)):
        return None if value is None else number("margin", value, low=0.0)
    raise TypeError(f"margin must be a number or None, got {_kind(value)}")


def choice(name, value, allowed):
    """One of the strings in `allowed`."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {_listed(allowed)}, got {_kind(value)}")
    if value not in allowed:
        raise ValueError(f"{name} must be one of {_listed(allowed)}, got {value!r}")
    return value


def flag(name, value):
    """A bool."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {_kind(value)}")
    return value


def no_terms(loss, value):
    """return_terms of a loss that has none: False."""
    if flag("return_terms", value):
        raise ValueError(f"return_terms must be False for {loss}, which has no terms, got True")


def _rows(name, value):
    _floating(name, value)
    shape = value.shape
    if not 2 <= len(shape) <= 3:
        raise ValueError(f"{name} must have shape [B, D] or [S, B, D], {_got(value)}")
    if shape[-1] == 0:
        raise ValueError(f"{name} must have rows of at least one number, {_got(value)}")
    return shape


def _floating(name, value):
    if not isinstance(value, Tensor) or value.layout is not torch.strided or value.is_nested:
        _not_dense(name, value, "a floating tensor")
    if value.dtype not in _FLOATING:
        raise TypeError(f"{name} must be float16, bfloat16, float32 or float64, got {value.dtype}")


def _not_dense(name, value, wanted):
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be {wanted}, got {_kind(value)}")
    kind = "a nested tensor" if value.is_nested else f"layout {value.layout}"
    raise TypeError(f"{name} must be a dense tensor, got {kind}")


def _promoted(x_name, x, r_name, r, labels_name=None, labels=None):
    """Rows r that fit rows x, both in one type; with labels_name, labels must come with them."""
    if r is None:
        raise ValueError(f"{r_name} must be given with {labels_name}, got None")
    if labels_name is not None and labels is None:
        raise ValueError(f"{labels_name} must be given with {r_name}, got None")
    have, want = _rows(r_name, r), x.shape
    if len(have) != len(want) or have[:-2] != want[:-2] or have[-1] != want[-1]:
        wanted = ", ".join(["G" if i == len(want) - 2 else str(n) for i, n in enumerate(want)])
        raise ValueError(f"{r_name} must have shape [{wanted}] to fit {x_name}, {_got(r)}")
    _same_device(r_name, r, x.device, x_name)
    if r.dtype != x.dtype:
        dtype = torch.promote_types(x.dtype, r.dtype)
        return x.to(dtype), r.to(dtype)
    return x, r


def _integers(name, value, count, letter, device):
    if not isinstance(value, Tensor) or value.layout is not torch.strided:
        _not_dense(name, value, "an integer tensor")
    dtype = value.dtype
    if dtype not in _INTEGER:
        raise TypeError(f"{name} must hold integers, got {dtype}")
    shape = value.shape
    if len(shape) != 1 or shape[0] != count:
        raise ValueError(f"{name} must have shape [{letter}] = [{count}], got {list(shape)}")
    if value.device != device:
        _same_device(name, value, device)
    return value if dtype is torch.int64 or dtype is torch.int32 else value.to(torch.int64)


def _two_labels(labels, gallery_labels, count, device):
    gallery_labels = _integers("gallery_labels", gallery_labels, count, "G", device)
    if labels.dtype != gallery_labels.dtype:
        return labels.to(torch.int64), gallery_labels.to(torch.int64)
    return labels, gallery_labels


def _self_index(value, rows, columns, device):
    value = _integers("self_index", value, rows, "B", device)
    # Only a plain CPU tensor outside of a trace has values that are free to look at.
    if device.type == "cpu" and not torch.compiler.is_compiling() and type(value) is Tensor:
        low, high = map(int, value.aminmax()) if rows > 0 else (-1, -1)
        if low < -1 or high >= columns:
            wrong = low if low < -1 else high
            raise ValueError(f"self_index must be in -1 .. G-1 = {columns - 1}, got {wrong}")
    return value


def _exclude(value, rows, columns, device):
    if not isinstance(value, Tensor) or value.layout is not torch.strided:
        _not_dense("exclude", value, "a bool tensor")
    if value.dtype != torch.bool:
        raise TypeError(f"exclude must be a bool tensor, got {value.dtype}")
    if value.dim() != 2 or value.shape[0] != rows or value.shape[1] != columns:
        raise ValueError(f"exclude must have shape [B, G] = [{rows}, {columns}], {_got(value)}")
    _same_device("exclude", value, device)


def _same_device(name, value, device, like="embeddings"):
    if value.device != device:
        raise ValueError(f"{name} must be on the device of {like}, {device}, got {value.device}")


def _got(value):
    return f"got {list(value.shape)}"


def _kind(value):
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _listed(allowed):
    return ", ".join([repr(option) for option in allowed])
