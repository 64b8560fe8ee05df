"""Who is photographed by which camera, and the pictures of that."""

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
    kind: np.ndarray  # WHOLE; BADLY_CUT: the box of a detector that is far off; NOBODY

    def __len__(self):
        return len(self.person)

    def take(self, index):
        return Shots(self.person[index], self.camera[index], self.kind[index])


def take(shots, people, cameras, height, width, key):
    """uint8 [N, 3, height, width]. key: whole numbers that no other list of pictures is given."""
    draws = Draws(*key)
    chance = draws.uniform(0, 1, (len(shots), 32))
    pictures = np.empty((len(shots), 3, height, width), np.uint8)
    for first in range(0, len(shots), AT_ONCE):
        now = slice(first, first + AT_ONCE)
        some = shots.take(now)
        taken_by = [cameras[c - 1] for c in some.camera]
        picture = _painted(some, people.take(some.person), taken_by, height, width, chance[now])
        grain = draws.grain(picture.shape)
        pictures[now] = _developed(picture, taken_by, chance[now], grain)
    return pictures


def _of(taken_by, name):
    return np.array([getattr(camera, name) for camera in taken_by])


def _painted(shots, who, taken_by, height, width, u):
    """[n, 3, H, W] float32, as a perfect camera would see it. u [n, 32] are chances in [0, 1)."""
    picture = _backgrounds(taken_by, u, height, width)
    x, y, scale = _frames(shots, who, taken_by, height, width, u)
    seen = np.flatnonzero(shots.kind != NOBODY)
    if len(seen):
        light = column(_of(taken_by, "light")[seen])
        canvas = Canvas(picture[seen], x[seen], y[seen], column(1 / scale[seen]), light)
        figure.paint(canvas, who.take(seen), _pose(_of(taken_by, "facing")[seen], u[seen]))
        picture[seen] = canvas.picture
    for i in np.flatnonzero(u[:, 13] < 0.2):
        _cover(picture[i], u[i])
    return picture


def _frames(shots, who, taken_by, height, width, u):
    """Where the pixels of a picture are, in body heights: x [n, 1, W], y [n, H, 1]; pixels in one [n]."""
    cut, shift = shots.kind == BADLY_CUT, _of(taken_by, "shift")
    scale = height * 0.86 * _of(taken_by, "scale") * who.tall * (0.92 + 0.16 * u[:, 0])
    scale = np.where(cut, scale * (0.55 + 1.3 * u[:, 1]), scale)
    middle = np.where(cut, 0.5 + 1.3 * (u[:, 2] - 0.5), 0.5 + shift + 0.16 * (u[:, 2] - 0.5))
    feet = 0.965 + 0.07 * (u[:, 3] - 0.5) + np.where(cut, 0.9 * (u[:, 4] - 0.5), 0)
    columns = np.arange(width, dtype=np.float32) + np.float32(0.5)
    rows = np.arange(height, dtype=np.float32)[:, None] + np.float32(0.5)
    x = (columns - column(middle * width)) / column(scale)
    y = 1 - (column(feet * height) - rows) / column(scale * _of(taken_by, "squash"))
    return x, y, scale


def _backgrounds(taken_by, u, height, width):
    """A part of each camera's scenery, of any place."""
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
    turn = 4 * (turn - np.floor(turn))
    quarter = np.floor(turn)
    # a point of the circle by fractions, which are the same everywhere, unlike a cosine; t = tan(angle / 2)
    t = turn - quarter
    t = t * (0.83 + 0.17 * t)  # nearly even steps of angle
    c, s = (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)
    quarter = quarter.astype(int) % 4
    return figure.Pose(
        c=np.choose(quarter, (c, -s, -c, s)),
        s=np.choose(quarter, (s, c, -s, -c)),
        stride=0.3 * (u[:, 10] - 0.5),
        swing=0.24 * (u[:, 10] - 0.5) + 0.08 * (u[:, 11] - 0.5),
        spread=0.015 + 0.05 * u[:, 12],
    )


def _cover(picture, u):
    """Something stands before a person, picture [3, H, W]: below, or at a side."""
    height, width = picture.shape[1:]
    share = 0.12 + 0.3 * u[15]
    if u[16] < 0.5:
        hidden = picture[:, int(height * (1 - share)) :]
    elif u[16] < 0.75:
        hidden = picture[:, height // 5 :, : int(width * share)]
    else:
        hidden = picture[:, height // 5 :, width - int(width * share) :]
    hidden[:] = (CLOTH[int(u[14] * len(CLOTH))] * 0.7 + 30)[:, None, None]


def _developed(picture, taken_by, u, grain):
    """uint8: what the camera makes of it. grain [n, 3, H, W] has deviation 148."""

    def four(values):
        return np.asarray(values, np.float32).reshape(len(u), -1, 1, 1)

    picture = cam.soften(picture, four(_of(taken_by, "blur") * (0.7 + 0.5 * u[:, 20])))
    picture = cam.expose(
        picture,
        gain=four(_of(taken_by, "gain") * (0.9 + 0.2 * u[:, 21:22])),
        bend=four(_of(taken_by, "bend") * (0.85 + 0.3 * u[:, 22])),
        contrast=four(_of(taken_by, "contrast")),
        haze=four(_of(taken_by, "haze")),
    )
    picture = picture + four(_of(taken_by, "noise") / 148) * grain
    return np.clip(picture + np.float32(0.5), 0, 255).astype(np.uint8)
