"""What is on the upper body: patterns, a print on the chest, an open jacket."""

import numpy as np

from .people import PATTERN, UPPER


def _stripe(position, period, pixel):
    """Share of the second colour, one half of each period; position and period in body heights."""
    turn = position / period
    turn = np.abs(turn - np.floor(turn) - np.float32(0.5)) - np.float32(0.25)
    return np.clip(np.float32(0.5) + turn * period / pixel, 0, 1)


def torso_colours(part, who, pose):
    """[n, 3, h, W] for a part that holds all images."""
    first = np.asarray(who.upper_colour, np.float32)[:, :, None, None]
    second = np.asarray(who.second_colour, np.float32)[:, :, None, None]
    mix = _mix(part, who, pose)
    return first + mix[:, None] * (second - first)


def _mix(part, who, pose):
    n, h, w = len(part.y), part.y.shape[1], part.x.shape[2]
    mix = np.zeros((n, h, w), np.float32)
    c, s = part.of(pose.c), part.of(pose.s)
    # where on the chest a pixel is, were the body a cylinder; its front is at 0
    turned = part.x - np.float32(0.07) * s
    pixel, period = part.pixel, part.of(who.period)
    kind = {name: np.flatnonzero(who.pattern == k) for k, name in enumerate(PATTERN)}

    i = kind["stripes"]
    mix[i] = _stripe(part.y[i], period[i], pixel[i])
    i = kind["upright stripes"]
    mix[i] = _stripe(turned[i], period[i] * np.float32(0.8), pixel[i])
    i = kind["checks"]
    across = _stripe(turned[i], period[i], pixel[i])
    down = _stripe(part.y[i], period[i], pixel[i])
    mix[i] = across + down - 2 * across * down
    i = kind["dots"]
    step = period[i]
    x, y = turned[i] / step, part.y[i] / step
    x, y = x - np.floor(x) - np.float32(0.5), y - np.floor(y) - np.float32(0.5)
    mix[i] = np.clip(0.5 - (np.sqrt(x * x + y * y) - np.float32(0.3)) * step / pixel[i], 0, 1)
    i = kind["logo"]
    size = period[i] * np.float32(0.75)
    x = (part.x[i] - np.float32(0.075) * s[i]) / np.maximum(c[i], np.float32(0.05))
    edge = np.maximum(np.abs(x) - size, np.abs(part.y[i] - 0.28) - size * np.float32(0.8))
    mix[i] = np.clip(0.5 - edge / pixel[i], 0, 1) * (c[i] > 0.2)
    i = np.flatnonzero(who.upper == UPPER.index("jacket"))
    gap = np.float32(0.022) + np.maximum(part.y[i] - np.float32(0.17), 0) * np.float32(0.06)
    edge = np.abs(part.x[i] - np.float32(0.075) * s[i]) - gap * np.maximum(c[i], 0)
    opened = np.clip(0.5 - edge / pixel[i], 0, 1) * (c[i] > 0.1)
    mix[i] = opened
    return mix
