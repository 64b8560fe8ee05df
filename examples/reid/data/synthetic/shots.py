"""Which person is before which camera how often, and the pictures of that."""

from dataclasses import dataclass

import numpy as np

from . import cameras as cam
from . import figure
from .canvas import Canvas, column
from .draws import Draws
from .people import CLOTH

AT_ONCE = 64  # pictures painted together: what they need fits a cache
WHOLE, BADLY_CUT, NOBODY = range(3)


@dataclass(frozen=True)
class Shots:
    """Pictures to be taken: [N] each."""

    person: np.ndarray
    camera: np.ndarray  # 1, 2, …
    kind: np.ndarray  # WHOLE, BADLY_CUT: a box far off, NOBODY

    def __len__(self):
        return len(self.person)


def take(shots, people, cameras, height, width, key):
    """uint8 [N, 3, height, width]. key: a tuple of whole numbers that no other list of pictures has."""
    draws = Draws(*key)
    chance = draws.uniform(0, 1, (len(shots), 32))
    pictures = np.empty((len(shots), 3, height, width), np.uint8)
    for first in range(0, len(shots), AT_ONCE):
        now = slice(first, min(first + AT_ONCE, len(shots)))
        some = Shots(shots.person[now], shots.camera[now], shots.kind[now])
        grain = draws.grain((len(some), 3, height, width))
        pictures[now] = _some(some, people, cameras, height, width, chance[now], grain)
    return pictures


def _some(shots, people, cameras, height, width, u, grain):
    taken_by = [cameras[c - 1] for c in shots.camera]

    def of_camera(name):
        return np.array([getattr(c, name) for c in taken_by])

    picture = _backgrounds(taken_by, u, height, width)
    who = people.take(shots.person)
    cut = shots.kind == BADLY_CUT
    # body heights to pixels; boxes of a detector are now and then too large, too small or beside
    scale = height * 0.86 * of_camera("scale") * who.tall * (0.92 + 0.16 * u[:, 0])
    scale = np.where(cut, scale * (0.55 + 1.3 * u[:, 1]), scale)
    middle = 0.5 + of_camera("shift") + 0.16 * (u[:, 2] - 0.5)
    middle = np.where(cut, 0.5 + 1.3 * (u[:, 2] - 0.5), middle) * width
    squash = of_camera("squash")
    feet = 0.965 + 0.07 * (u[:, 3] - 0.5)
    feet = np.where(cut, feet + 0.9 * (u[:, 4] - 0.5), feet) * height
    x = (np.arange(width, dtype=np.float32) + np.float32(0.5) - column(middle)) / column(scale)
    rows = np.arange(height, dtype=np.float32)[:, None] + np.float32(0.5)
    y = 1 - (column(feet) - rows) / column(scale * squash)
    light = of_camera("light")
    canvas = Canvas(picture, x, y, column(1 / scale), column(light))

    seen = np.flatnonzero(shots.kind != NOBODY)
    if len(seen):
        part = Canvas(picture[seen], x[seen], y[seen], canvas.pixel[seen], canvas.light[seen])
        figure.paint(part, who.take(seen), _pose(of_camera("facing")[seen], u[seen]))
        picture[seen] = part.picture
    _cover(picture, u, height, width)

    picture = cam.soften(picture, _four(of_camera("blur") * (0.7 + 0.5 * u[:, 20])))
    gain = np.stack([c.gain for c in taken_by]) * (0.9 + 0.2 * u[:, 21:22])
    picture = cam.expose(
        picture,
        gain.astype(np.float32)[:, :, None, None],
        _four(of_camera("bend") * (0.85 + 0.3 * u[:, 22])),
        _four(of_camera("contrast")),
        _four(of_camera("haze")),
    )
    picture = picture + _four(of_camera("noise") / 148) * grain
    return np.clip(picture + np.float32(0.5), 0, 255).astype(np.uint8)


def _four(values):
    return np.asarray(values, np.float32).reshape(-1, 1, 1, 1)


def _backgrounds(taken_by, u, height, width):
    """The part of its scenery that each camera looks at, of any place."""
    picture = np.empty((len(taken_by), 3, height, width), np.float32)
    for i, camera in enumerate(taken_by):
        top = int(u[i, 5] * height * 0.5) + height // 4
        left = int(u[i, 6] * (camera.scenery.shape[2] - width))
        picture[i] = camera.scenery[:, top : top + height, left : left + width]
    return picture


def _pose(facing, u):
    """Most people go the camera's way or the opposite one; the rest any way."""
    strays = u[:, 7] < 0.25
    turn = np.where(strays, u[:, 8], (facing + 4 * (u[:, 9] < 0.4)) / 8 + 0.12 * (u[:, 8] - 0.5))
    turn = turn - np.floor(turn)
    # a point of the circle by fractions: exact everywhere, unlike a cosine
    quarter = np.floor(turn * 4)
    t = turn * 4 - quarter
    t = t * (0.8284271247461901 + 0.1715728752538099 * t)  # nearly even steps of angle
    c, s = (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)
    c, s = (
        np.choose(quarter.astype(int) % 4, (c, -s, -c, s)),
        np.choose(quarter.astype(int) % 4, (s, c, -s, -c)),
    )
    return figure.Pose(
        c=c,
        s=s,
        stride=0.3 * (u[:, 10] - 0.5),
        swing=0.24 * (u[:, 10] - 0.5) + 0.08 * (u[:, 11] - 0.5),
        spread=0.015 + 0.05 * u[:, 12],
    )


def _cover(picture, u, height, width):
    """Something stands before one person in five: below, or at a side."""
    for i in np.flatnonzero(u[:, 13] < 0.22):
        colour = CLOTH[int(u[i, 14] * len(CLOTH))] * 0.7 + 30
        share = 0.12 + 0.3 * u[i, 15]
        if u[i, 16] < 0.5:
            top = int(height * (1 - share))
            picture[i, :, top:] = colour[:, None, None]
        elif u[i, 16] < 0.75:
            picture[i, :, height // 5 :, : int(width * share)] = colour[:, None, None]
        else:
            picture[i, :, height // 5 :, width - int(width * share) :] = colour[:, None, None]
