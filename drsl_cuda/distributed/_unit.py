"""Rows of unit length."""

import torch


def unit(x):
    """x / |x| and 1 / |x|, [.., D] and [.., 1]; both 0 for rows that count as zero.

    That is where |x|² is below the smallest normal number. Dividing by a power of two near the
    largest element first is exact and keeps squares within range.
    """
    tiny = torch.finfo(x.dtype).tiny
    peak = x.abs().amax(-1, keepdim=True)
    power = torch.where(peak > 0, peak / (2 * torch.frexp(peak).mantissa), 1).clamp(min=tiny)
    scaled = x / power
    length = torch.linalg.vector_norm(scaled, dim=-1, keepdim=True)
    zero = length * power < tiny**0.5
    length = torch.where(zero, 1, length)
    return torch.where(zero, 0, scaled / length), torch.where(zero, 0, 1 / length / power)
