"""Ways to lay rows out in memory: name → function of contiguous rows [.., n, D] that returns a view.

Those in KEEPING hold the same numbers in other places; the others repeat some of them, as a view with
a zero stride or overlapping windows does.
"""

import torch


def _every_other_column(x):
    return torch.stack([x, -x], dim=-1).flatten(-2)[..., ::2]


def _every_other_row(x):
    return torch.stack([x, -x], dim=-2).flatten(-3, -2)[..., ::2, :]


def _inside(x):
    return torch.nn.functional.pad(x, (3, 2, 1, 4), value=9.0)[..., 1:-4, 3:-2]


def _at_an_offset(x):
    """Contiguous, but not where an allocator would put it."""
    return torch.cat([x.new_full((3,), 9.0), x.flatten()])[3:].view_as(x)


def _windows(x):
    """Row k is the numbers k .. k + D: rows share memory with the next ones."""
    flat = x.flatten()
    if flat.numel() < sum(x.shape):
        return x
    return flat.as_strided(x.shape, (1,) * x.dim())


KEEPING = {
    "contiguous": lambda x: x,
    "transposed": lambda x: x.mT.contiguous().mT,
    "every_other_column": _every_other_column,
    "every_other_row": _every_other_row,
    "inside": _inside,
    "at_an_offset": _at_an_offset,
    "last_dimension_first": lambda x: x.movedim(-1, 0).contiguous().movedim(0, -1),
}
REPEATING = {
    "one_row": lambda x: x[..., :1, :].expand_as(x),
    "one_number_a_row": lambda x: x[..., :1].expand_as(x),
    "one_number": lambda x: x[..., :1, :1].expand_as(x),
    "windows": _windows,
}
LAYOUTS = KEEPING | REPEATING
