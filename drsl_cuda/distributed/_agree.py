"""What ranks tell each other before they exchange rows, so that a mistake of one stops all of them.

A rank that raises alone leaves the others waiting for it. So wrong arguments are not raised before
every rank has heard of them; then each raises.
"""

import zlib

import torch
import torch.distributed as dist

_DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
_FIELDS = ("status", "b", "sets", "D", "dtype", "exclude", "gradient", "settings")
_SAME = {
    "sets": "embeddings must have the same number of sets on all ranks (-1: no sets dimension)",
    "D": "embeddings must have the same D on all ranks",
    "dtype": "embeddings must have the same dtype on all ranks",
    "settings": "loss, mode and average must be the same on all ranks",
}


def agree(ranks, x, exclude, want, settings, error):
    """Sets ranks.sizes; whether any rank wants a gradient. Raises on every rank if one has to.

    settings: a string that must be the same everywhere; error: what is wrong on this rank, or None.
    """
    if error is not None:
        mine = [1] + [0] * (len(_FIELDS) - 1)
    else:
        columns = -1 if exclude is None else exclude.shape[1]
        sets = -1 if x.dim() == 2 else x.shape[0]
        mine = [0, x.shape[-2], sets, x.shape[-1], _DTYPES.index(x.dtype), columns, int(want)]
        mine.append(zlib.crc32(settings.encode()))
    everyone = ranks.exchange(mine, _device(ranks.group, x))
    columns = dict(zip(_FIELDS, zip(*everyone, strict=True), strict=True))
    if error is not None:
        raise error
    refused = [rank for rank, status in enumerate(columns["status"]) if status]
    if refused:
        raise RuntimeError(f"wrong arguments on rank {refused[0]} of the group: see its error")
    for field, message in _SAME.items():
        if len(set(columns[field])) > 1:
            values = columns[field]
            if field == "dtype":
                values = [str(_DTYPES[v]) for v in values]
            got = "" if field == "settings" else f", got {list(values)}"
            raise ValueError(message + got)
    ranks.sizes = list(columns["b"])
    for width in columns["exclude"]:
        if width not in (-1, ranks.total):
            raise _wrong_columns(ranks, width)
    return any(columns["gradient"])


def check_mask(exclude, x):
    """exclude is a bool matrix with a row for each row of x, [.., b, D], on its device."""
    if not isinstance(exclude, torch.Tensor) or exclude.dtype != torch.bool:
        got = exclude.dtype if isinstance(exclude, torch.Tensor) else type(exclude).__name__
        raise TypeError(f"exclude must be a bool tensor, got {got}")
    if exclude.dim() != 2 or exclude.shape[0] != x.shape[-2]:
        raise ValueError(
            f"exclude must have shape [b, G] with b = {x.shape[-2]}, got {list(exclude.shape)}"
        )
    if exclude.device != x.device:
        raise ValueError(
            f"exclude must be on the device of embeddings, {x.device}, got {exclude.device}"
        )


def check_columns(exclude, ranks):
    """exclude has a column for each row of all ranks."""
    if exclude is not None and exclude.shape[1] != ranks.total:
        raise _wrong_columns(ranks, exclude.shape[1])


def _wrong_columns(ranks, width):
    return ValueError(
        f"exclude must have shape [b, G] with G = {ranks.total}, the rows of all ranks, "
        f"got {width} columns"
    )


def _device(group, x):
    if isinstance(x, torch.Tensor):
        return x.device
    cuda = "nccl" in dist.get_backend(group)
    return torch.device("cuda", torch.cuda.current_device()) if cuda else torch.device("cpu")
