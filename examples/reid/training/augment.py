"""Flip, shift, erase: of a batch at once, each image by numbers of its own.

The numbers are a hash of (seed, epoch, index, which copy in the batch, what for), so that they do not
depend on processes, order, or the device.
"""

import torch

FLIP, DOWN, RIGHT, ERASE, AREA, SHAPE, TOP, LEFT = range(8)  # what a number is for
_PAD = 1 / 12  # an image moves by up to this part of its height and width


def augmented(images, indices, seed, epoch):
    """uint8 [B, 3, H, W], places of the images in their split [B] → the same shape and type."""
    keys = _keys(torch.as_tensor(indices), seed, epoch).to(images.device)
    images = _flipped_and_shifted(images, keys)
    return _erased(images, keys)


def _keys(indices, seed, epoch):
    """[B] one number an image; a second copy in the batch has another."""
    before = (indices[:, None] == indices[None, :]).tril(-1).sum(-1)
    key = torch.zeros_like(indices)
    for number in (seed, epoch, indices, before):
        key = _scrambled(key + number + _GOLDEN)
    return key


def uniform(keys, purpose):
    """[B] float64 in [0, 1)."""
    return (
        _shifted_right(_scrambled(keys + _signed(purpose * _GOLDEN % 2**64) + 1), 11).double()
        * 2.0**-53
    )


def _flipped_and_shifted(images, keys):
    """Mirrored one time in two, then moved; what comes in at the edge is black."""
    _, _, height, width = images.shape
    down = _whole(uniform(keys, DOWN), -round(height * _PAD), round(height * _PAD))
    right = _whole(uniform(keys, RIGHT), -round(width * _PAD), round(width * _PAD))
    rows = torch.arange(height, device=images.device) - down[:, None]  # where a row comes from
    columns = torch.arange(width, device=images.device) - right[:, None]
    inside = ((rows >= 0) & (rows < height))[:, :, None]
    inside = inside & ((columns >= 0) & (columns < width))[:, None, :]
    columns = columns.clamp(0, width - 1)
    mirrored = uniform(keys, FLIP)[:, None] < 0.5
    columns = torch.where(mirrored, width - 1 - columns, columns)
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    # indexed dimensions come first: [B, H, W, 3]
    moved = images[batch, :, rows.clamp(0, height - 1)[:, :, None], columns[:, None, :]]
    return (moved * inside[..., None]).permute(0, 3, 1, 2)


def _erased(images, keys):
    """One time in two a rectangle of 2 to 25 % of the area, 1/3 to 3 as high as wide, is grey."""
    _, _, height, width = images.shape
    area = (0.02 + 0.23 * uniform(keys, AREA)) * height * width
    shape = 3.0 ** (2 * uniform(keys, SHAPE) - 1)
    high = (area * shape).sqrt().round().clamp(1, height)
    wide = (area / shape).sqrt().round().clamp(1, width)
    top = ((height - high + 1) * uniform(keys, TOP)).floor()[:, None]
    left = ((width - wide + 1) * uniform(keys, LEFT)).floor()[:, None]
    rows = torch.arange(height, device=images.device)
    columns = torch.arange(width, device=images.device)
    rows = (rows >= top) & (rows < top + high[:, None])
    columns = (columns >= left) & (columns < left + wide[:, None])
    chosen = (uniform(keys, ERASE) < 0.5)[:, None, None]
    return images.masked_fill((rows[:, :, None] & columns[:, None, :] & chosen)[:, None], 118)


def _whole(u, low, high):
    """[B] int64 in low..high, both included."""
    return low + (u * (high - low + 1)).floor().long()


def _signed(x):
    return x - 2**64 if x >= 2**63 else x


_GOLDEN = _signed(0x9E3779B97F4A7C15)
_FIRST, _SECOND = _signed(0xBF58476D1CE4E5B9), _signed(0x94D049BB133111EB)


def _shifted_right(x, bits):
    """Of 64 bits without a sign."""
    return (x >> bits) & (2 ** (64 - bits) - 1)


def _scrambled(x):
    """Every bit of the result depends on every bit of x (the finisher of splitmix64)."""
    x = (x ^ _shifted_right(x, 30)) * _FIRST
    x = (x ^ _shifted_right(x, 27)) * _SECOND
    return x ^ _shifted_right(x, 31)
