"""A person on a canvas, back to front: far limbs, legs, skirt, torso, bag, head, near arm.

Lengths are body heights; X is to the person's left, Z forward, y down from the top of the head. A view is
the direction faced, (c, s) = (1, 0) towards the camera, (0, ±1) sideways: X c + Z s is where a point is seen.
"""

from dataclasses import dataclass

import numpy as np

from .canvas import Canvas
from .cloth import torso_colours
from .people import BAG, HAIR, LOWER, UPPER, People


@dataclass(frozen=True)
class Pose:
    c: np.ndarray  # [n], c² + s² = 1
    s: np.ndarray
    stride: np.ndarray  # where one foot is before the body; the other is as far behind it
    swing: np.ndarray  # likewise the hands
    spread: np.ndarray  # how far the hands are from the hips


def paint(canvas: Canvas, who: People, pose: Pose):
    _Figure(canvas, who, pose).paint()


class _Figure:
    def __init__(self, canvas, who, pose):
        self.canvas, self.who, self.pose = canvas, who, pose
        self.near = np.where(pose.s > 0, -1.0, 1.0)  # which side's limbs are nearer to the camera
        self.dress = who.upper == UPPER.index("dress")
        self.skirt = (who.lower == LOWER.index("skirt")) & ~self.dress
        self.sleeves = (who.upper == UPPER.index("long sleeves")) | (
            who.upper == UPPER.index("jacket")
        )

    def paint(self):
        self._hair_behind(self.pose.c > 0)
        self._arm(-self.near)
        self._leg(-self.near)
        self._leg(self.near)
        self._cloth_of_legs()
        self._neck()
        self._torso()
        self._backpack()
        self._head()
        self._hair_behind(self.pose.c <= 0)
        self._arm(self.near)
        self._handbag()

    def _seen(self, x, z):
        return x * self.pose.c + z * self.pose.s

    def _leg(self, side):
        who, pose = self.who, self.pose
        ahead = side * pose.stride
        hip = self._seen(side * 0.056 * who.wide, 0 * ahead), 0.5 + 0 * ahead
        # a foot that is ahead is lower in the picture, as the camera looks down a little
        low = 0.012 * ahead / 0.16 * pose.c
        knee = self._seen(side * 0.056 * who.wide, 0.55 * ahead + 0.015), 0.725 + low * 0.5
        foot = self._seen(side * 0.05 * who.wide, ahead), 0.945 + low - np.abs(ahead) * 0.06
        toe = foot[0] + self._seen(0.012 * side, 0.055), foot[1] + 0.016
        bare = (who.lower != LOWER.index("trousers")) | self.dress
        cloth = np.where(bare[:, None], who.skin, who.lower_colour)
        thick = np.where(bare, 0.0, who.loose)
        wide = 0.5 + 0.5 * who.wide
        upper = np.where((self.dress | self.skirt)[:, None], who.skin, who.lower_colour)
        radii = 0.044 * wide + thick, 0.03 * wide + thick
        self.canvas.capsule(knee, foot, radii, cloth)
        self.canvas.capsule(foot, toe, (0.026 + 0 * ahead, 0.02 + 0 * ahead), who.shoes)
        self.canvas.capsule(hip, knee, (0.064 * wide + thick, 0.05 * wide + thick), upper)

    def _arm(self, side):
        who, pose = self.who, self.pose
        ahead = -side * pose.swing
        out = side * (0.116 * who.wide)
        shoulder = self._seen(out, 0 * ahead), 0.203 + 0 * ahead
        elbow = (
            self._seen(out + side * (0.01 + pose.spread * 0.6), 0.45 * ahead - 0.01),
            0.345 + 0 * ahead,
        )
        reach = 0.47 - np.abs(ahead) * 0.25
        hand = self._seen(out + side * (0.012 + pose.spread), ahead + 0.02), reach
        wide = 0.5 + 0.5 * who.wide
        sleeve = np.where(self.sleeves[:, None], who.upper_colour, who.skin)
        bulk = np.where(who.upper == UPPER.index("jacket"), 0.008, 0.0)
        self.canvas.capsule(hand, hand, (0.026 + 0 * ahead, 0.026 + 0 * ahead), who.skin)
        self.canvas.capsule(elbow, hand, (0.033 * wide + bulk, 0.026 * wide + bulk), sleeve)
        # a t-shirt's sleeve ends half way to the elbow
        self.canvas.capsule(shoulder, elbow, (0.036 * wide + bulk, 0.032 * wide + bulk), sleeve)
        short = np.where(self.sleeves, 1.0, 0.55)
        half = tuple(p + (q - p) * short for p, q in zip(shoulder, elbow, strict=True))
        self.canvas.capsule(
            shoulder, half, (0.04 * wide + bulk, 0.038 * wide + bulk), who.upper_colour
        )

    def _half(self, broad, deep):
        """Half of the width of something broad × deep, seen from here."""
        c, s = broad * self.pose.c, deep * self.pose.s
        return np.sqrt(c * c + s * s)

    def _skirtlike(self, images, top, bottom, flare, colour):
        if not len(images):
            return
        part = self.canvas.part(images, top, float(np.max(bottom)))
        down = (part.y - part.of(top)) / part.of(bottom - top)
        hips = self.who.wide * self.who.taper
        half = part.of(self._half(0.122 * hips, 0.078 * hips))
        half = half * (1 + part.of(flare) * np.clip(down, 0, 1))
        right = part.x / half
        edge = np.maximum(np.abs(part.x) - half, part.y - part.of(bottom))
        edge = np.maximum(edge, part.of(top) - part.y)
        part.paint(edge, colour, shade=self.canvas.shade(part, np.abs(right), right))

    def _cloth_of_legs(self):
        """Skirts, dresses' lower half; the hips of trousers and shorts."""
        n = len(self.who)
        colour = np.where(self.dress[:, None], self.who.upper_colour, self.who.lower_colour)
        covered = self.dress | self.skirt
        step = np.abs(self.pose.stride) * np.abs(self.pose.s)
        bottom = np.where(covered, np.where(self.dress, 0.72, 0.68), 0.55)
        flare = np.where(covered, 0.35 + step * 2, 0.0)
        self._skirtlike(np.arange(n), 0.46 + np.zeros(n), bottom, flare, colour)

    def _neck(self):
        lean = self._seen(0 * self.pose.c, 0.01)
        zero = 0 * self.pose.c
        skin = self.who.skin * 0.88
        self.canvas.capsule((lean, 0.11 + zero), (zero, 0.18 + zero), (0.034 + zero,) * 2, skin)

    def _torso(self):
        who, part = self.who, self.canvas.part(None, 0.14, 0.56)
        bulk = np.where(who.upper == UPPER.index("jacket"), 1.1, 1.0)
        broad = part.of(self._half(0.124 * who.wide * bulk, 0.08 * who.wide * bulk))
        down = np.clip((part.y - 0.16) / np.float32(0.36), 0, 1)
        half = broad * (1 + (part.of(who.taper) - 1) * down)
        # round shoulders
        high = np.clip((np.float32(0.23) - part.y) / np.float32(0.075), 0, 1)
        half = half - broad * np.float32(0.5) * (1 - np.sqrt(1 - high * high))
        hem = np.where(who.upper == UPPER.index("jacket"), 0.55, 0.525)
        edge = np.maximum(np.abs(part.x) - half, np.maximum(0.155 - part.y, part.y - part.of(hem)))
        right = part.x / half
        colour = torso_colours(part, who, self.pose)
        part.paint(edge, colour, shade=self.canvas.shade(part, np.abs(right), right))

    def _backpack(self):
        """A hump behind; seen from before, its straps."""
        who, pose = self.who, self.pose
        images = np.flatnonzero((who.bag == BAG.index("backpack")) & (pose.c < 0.45))
        if len(images):
            behind = self._seen(0 * pose.c, -0.1)
            half = self._half(0.088, 0.06)
            part = self.canvas.part(images, 0.17, 0.47)
            x = part.x - part.of(behind)
            edge = np.maximum(np.abs(x) - part.of(half), np.abs(part.y - 0.325) - 0.135)
            right = x / part.of(half)
            pocket = (np.abs(part.y - 0.39) < 0.035) & (np.abs(right) < 0.7)
            shade = self.canvas.shade(part, np.abs(right), right) * np.where(pocket, 0.8, 1.0)
            part.paint(edge, who.bag_colour, shade=shade.astype(np.float32))
        images = np.flatnonzero((who.bag == BAG.index("backpack")) & (pose.c > -0.3))
        for side in (-1.0, 1.0) if len(images) else ():
            x = self._seen(side * 0.075 * who.wide, 0.06)
            part = self.canvas.part(images, 0.16, 0.36)
            edge = np.maximum(np.abs(part.x - part.of(x)) - 0.016, np.abs(part.y - 0.255) - 0.095)
            part.paint(edge, who.bag_colour)

    def _handbag(self):
        who, pose = self.who, self.pose
        hidden = who.bag_side * -self.near * np.abs(pose.s) > 0.8  # on the far side of the body
        images = np.flatnonzero((who.bag == BAG.index("handbag")) & ~hidden)
        if not len(images):
            return
        ahead = -who.bag_side * pose.swing * 0.4
        x = self._seen(who.bag_side * (0.15 * who.wide + 0.02), ahead)
        half = self._half(0.035, 0.075)
        strap = self._seen(who.bag_side * 0.1 * who.wide, 0 * ahead)
        zero = 0 * ahead
        self.canvas.capsule(
            (strap, 0.19 + zero),
            (x, 0.46 + zero),
            (0.009 + zero,) * 2,
            who.bag_colour * 0.8,
            images,
        )
        part = self.canvas.part(images, 0.44, 0.6)
        right = (part.x - part.of(x)) / part.of(half)
        edge = np.maximum((np.abs(right) - 1) * part.of(half), np.abs(part.y - 0.52) - 0.06)
        part.paint(edge, who.bag_colour, shade=self.canvas.shade(part, np.abs(right), right))

    def _oval(self, x, y, half, tall, colour, *, images=None, below=None, above=None, shown=None):
        part = self.canvas.part(images, 0.0, 0.2)
        if not part.y.size or not len(part.y):
            return
        rx, ry = part.of(half), part.of(tall)
        dx, dy = (part.x - part.of(x)) / rx, (part.y - part.of(y)) / ry
        away = np.sqrt(dx * dx + dy * dy)
        edge = (away - 1) * np.minimum(rx, ry)
        if below is not None:
            edge = np.maximum(edge, part.y - part.of(below))
        if above is not None:
            edge = np.maximum(edge, part.of(above) - part.y)
        part.paint(edge, colour, shade=self.canvas.shade(part, away, dx), shown=shown)

    def _head(self):
        """All hair, then the face where it is seen, then a cap."""
        who, c, s = self.who, self.pose.c, self.pose.s
        bald = (who.hair == HAIR.index("none"))[:, None]
        zero = 0 * c
        self._oval(
            0.01 * s, 0.072 + zero, 0.056 + zero, 0.072 + zero,
            np.where(bald, who.skin, who.hair_colour),
        )  # fmt: skip
        face = np.clip((c + 0.55) / 0.4, 0, 1)
        half = 0.03 + 0.018 * np.clip(c, 0, 1)
        self._oval(0.028 * s, 0.09 + zero, half, 0.055 + zero, who.skin, shown=face)
        cap = np.flatnonzero(who.hair == HAIR.index("cap"))
        if len(cap):
            self._oval(
                0.01 * s, 0.062 + zero, 0.062 + zero, 0.066 + zero,
                who.bag_colour, images=cap, below=0.058,
            )  # fmt: skip
            brim = self._seen(zero, 0.085), 0.06 + zero
            self.canvas.capsule(
                (0 * c, 0.056 + zero), brim, (0.012 + zero,) * 2, who.bag_colour * 0.8, cap,
                shown=(c > -0.5).astype(float),
            )  # fmt: skip

    def _hair_behind(self, here):
        """Long hair, which falls over neck and shoulders."""
        images = np.flatnonzero((self.who.hair == HAIR.index("long")) & here)
        if len(images):
            zero = 0 * self.pose.c
            x = self._seen(zero, -0.028)
            radii = self._half(0.062 + zero, 0.04 + zero), self._half(0.052 + zero, 0.034 + zero)
            ends = (x, 0.08 + zero), (x * 1.2, 0.2 + zero)
            self.canvas.capsule(*ends, radii, self.who.hair_colour, images)
