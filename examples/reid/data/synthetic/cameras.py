"""What a camera does to a picture: place and direction, colours, light, sharpness, noise, background."""

from dataclasses import dataclass

import numpy as np

from .people import CLOTH

GROUNDS = np.array(
    [(120, 118, 114), (96, 96, 100), (150, 140, 122), (104, 112, 88), (172, 168, 162)]
)
WALLS = np.array([(150, 146, 140), (118, 96, 82), (176, 178, 182), (92, 104, 116), (84, 98, 76)])


@dataclass(frozen=True)
class Camera:
    facing: int  # the direction most people are seen from: an index into eighths of a turn
    scale: float
    squash: float  # vertical, as a camera up high sees
    shift: float  # of people, in picture widths
    gain: np.ndarray  # [3] colour cast
    bend: float  # light: below 1 lifts dark tones, above 1 sinks them
    contrast: float
    haze: float
    blur: float  # 0 … 1
    noise: float  # deviation, of 255
    light: float  # how much brighter the right side of round things is
    scenery: np.ndarray  # [3, 2 H, 4 W] uint8, pictures look at parts of it


def make(draws, height, width):
    """A camera for pictures of this size."""
    u = draws.uniform(0, 1, (16,))
    cast = 0.8 + 0.32 * u[6:9]
    return Camera(
        facing=int(u[0] * 8),
        scale=0.9 + 0.16 * u[1],
        squash=0.9 + 0.1 * u[2],
        shift=0.16 * (u[3] - 0.5),
        gain=cast / np.maximum(cast.max(), 0.92) * (0.82 + 0.34 * u[9]),
        bend=0.7 + 0.6 * u[10],
        contrast=0.74 + 0.26 * u[4],
        haze=4 + 30 * u[5],
        blur=0.8 * u[11] * u[11],
        noise=2 + 6 * u[12] * u[12],
        light=0.36 * (u[13] - 0.5),
        scenery=_scenery(draws, height, width),
    )


def _scenery(draws, height, width):
    """Wall, ground, and things that stand about."""
    h, w = 2 * height, 4 * width
    wall, ground = WALLS[draws.below(len(WALLS))], GROUNDS[draws.below(len(GROUNDS))]
    horizon = int(h * draws.uniform(0.35, 0.6))
    view = np.empty((h, w, 3))
    view[:horizon] = wall
    fade = np.arange(h - horizon)[:, None, None] / (h - horizon)
    view[horizon:] = ground * (0.85 + 0.25 * fade)
    for x, y, wide, tall, kind, bright in draws.uniform(0, 1, (14, 6)):
        base = horizon + int((y - 0.35) * 0.3 * h)
        wide, tall = int((0.02 + 0.2 * wide * wide) * w) + 1, int((0.1 + 0.4 * tall) * h)
        left = int(x * w)
        colour = (CLOTH[int(kind * len(CLOTH))] * 0.5 + wall * 0.5) * (0.6 + 0.6 * bright)
        view[max(base - tall, 0) : max(base, 0), left : left + wide] = colour
    coarse = draws.uniform(-1, 1, (h // 4 + 1, w // 4 + 1, 1))
    view += 9 * coarse.repeat(4, 0).repeat(4, 1)[:h, :w]
    return np.clip(view, 0, 255).astype(np.uint8).transpose(2, 0, 1).copy()


def soften(picture, amount):
    """picture [n, 3, H, W], amount [n, 1, 1, 1]: 1 is a window of 1 2 1, twice, taps height / 64 apart."""
    height, width = picture.shape[2:]
    step = max(1, (height + 32) // 64)
    for _ in range(2):
        for axis, size in ((2, height), (3, width)):
            places = np.arange(size)
            before = picture.take(np.maximum(places - step, 0), axis)
            after = picture.take(np.minimum(places + step, size - 1), axis)
            mean = (before + after) * np.float32(0.25) + picture * np.float32(0.5)
            picture = picture + amount * (mean - picture)
    return picture


def expose(picture, gain, bend, contrast, haze):
    """picture in 0 … 255; gain [n, 3, 1, 1], the others [n, 1, 1, 1]. Light bends as x / (x + k (1 − x))."""
    x = np.clip(picture * gain / np.float32(255), 0, 1)
    x = x / (x + bend * (1 - x))
    return haze + contrast * (255 - haze) * x
