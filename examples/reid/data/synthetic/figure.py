"""A person on a canvas, back to front: far limbs, legs, skirt, torso, backpack, head, near arm, handbag.

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
    """[n] each."""

    c: np.ndarray  # c² + s² = 1
    s: np.ndarray
    stride: np.ndarray  # how far the left foot is before the body, the other one behind it
    swing: np.ndarray  # likewise the right hand
    spread: np.ndarray  # how far the hands are from the hips


def paint(canvas: Canvas, who: People, pose: Pose):
    figure = _Figure(canvas, who, pose)
    figure.hair_behind(pose.c > 0)
    figure.arm(-figure.near)
    figure.leg(-figure.near)
    figure.leg(figure.near)
    figure.hips()
    figure.neck()
    figure.torso()
    figure.backpack()
    figure.head()
    figure.hair_behind(pose.c <= 0)
    figure.arm(figure.near)
    figure.handbag()


class _Figure:
    def __init__(self, canvas, who, pose):
        self.canvas, self.who, self.pose = canvas, who, pose
        self.near = np.where(pose.s > 0, -1.0, 1.0)  # which side's limbs are nearer to the camera
        self.girth = 0.5 + 0.5 * who.wide  # of limbs
        self.jacket = who.upper == UPPER.index("jacket")
        self.sleeved = (who.upper == UPPER.index("long sleeves")) | self.jacket
        self.dress = who.upper == UPPER.index("dress")
        self.skirt = (who.lower == LOWER.index("skirt")) & ~self.dress
        self.trousers = (who.lower == LOWER.index("trousers")) & ~self.dress

    def seen(self, x, z):
        return x * self.pose.c + z * self.pose.s

    def half(self, broad, deep):
        """Half of the width of what is that broad and deep, an ellipse from above."""
        c, s = broad * self.pose.c, deep * self.pose.s
        return np.sqrt(c * c + s * s)

    def round(self, part, edge, right, colour, darker=1):
        """Paints something upright and round; right is -1 … 1 from its left to its right."""
        shade = self.canvas.shade(part, np.abs(right), right) * np.float32(darker)
        part.paint(edge, colour, shade=shade)

    def leg(self, side):
        who, pose = self.who, self.pose
        ahead = side * pose.stride
        down = 0.07 * ahead * pose.c  # the camera looks down a little
        hip = self.seen(side * 0.056 * who.wide, 0), 0.5
        knee = self.seen(side * 0.056 * who.wide, 0.55 * ahead + 0.015), 0.725 + 0.5 * down
        foot = self.seen(side * 0.05 * who.wide, ahead), 0.945 + down - 0.06 * np.abs(ahead)
        toe = foot[0] + self.seen(0.012 * side, 0.055), foot[1] + 0.016
        thick = np.where(self.trousers, who.loose, 0)
        shin = np.where(self.trousers[:, None], who.lower_colour, who.skin)
        thigh = np.where((self.dress | self.skirt)[:, None], who.skin, who.lower_colour)
        self.canvas.capsule(
            knee, foot, (0.044 * self.girth + thick, 0.03 * self.girth + thick), shin
        )
        self.canvas.capsule(foot, toe, (0.026, 0.02), who.shoes)
        self.canvas.capsule(
            hip, knee, (0.064 * self.girth + thick, 0.05 * self.girth + thick), thigh
        )

    def arm(self, side):
        who, pose = self.who, self.pose
        ahead, out = -side * pose.swing, side * 0.116 * who.wide
        shoulder = self.seen(out, 0), 0.203
        elbow = self.seen(out + side * (0.01 + 0.6 * pose.spread), 0.45 * ahead - 0.01), 0.345
        reach = 0.47 - 0.25 * np.abs(ahead)
        hand = self.seen(out + side * (0.012 + pose.spread), ahead + 0.02), reach
        bulk = np.where(self.jacket, 0.008, 0)
        sleeve = np.where(self.sleeved[:, None], who.upper_colour, who.skin)

        def limb(a, b, thick, thin, colour):
            self.canvas.capsule(a, b, (thick * self.girth + bulk, thin * self.girth + bulk), colour)

        self.canvas.capsule(hand, hand, (0.026, 0.026), who.skin)
        limb(elbow, hand, 0.033, 0.026, sleeve)
        limb(shoulder, elbow, 0.036, 0.032, sleeve)
        share = np.where(self.sleeved, 1, 0.55)  # a short sleeve ends half way to the elbow
        end = tuple(p + (q - p) * share for p, q in zip(shoulder, elbow, strict=True))
        limb(shoulder, end, 0.04, 0.038, who.upper_colour)

    def hips(self):
        """A skirt, a dress below the waist, or the seat of trousers."""
        covered, around = self.dress | self.skirt, self.who.wide * self.who.taper
        top, bottom = 0.46, np.where(self.dress, 0.72, np.where(self.skirt, 0.68, 0.55))
        part = self.canvas.part(None, top, 0.72)
        step = np.abs(self.pose.stride * self.pose.s)
        flare = part.of(np.where(covered, 0.35 + 2 * step, 0))
        down = np.clip((part.y - top) / part.of(bottom - top), 0, 1)
        half = part.of(self.half(0.122 * around, 0.078 * around)) * (1 + flare * down)
        edge = np.maximum(part.y - part.of(bottom), top - part.y)
        edge = np.maximum(np.abs(part.x) - half, edge)
        colour = np.where(self.dress[:, None], self.who.upper_colour, self.who.lower_colour)
        self.round(part, edge, part.x / half, colour)

    def neck(self):
        self.canvas.capsule(
            (self.seen(0, 0.01), 0.11), (0, 0.18), (0.034, 0.034), self.who.skin * 0.88
        )

    def torso(self):
        part, bulk = self.canvas.part(None, 0.15, 0.56), np.where(self.jacket, 1.1, 1)
        broad = part.of(self.half(0.124 * self.who.wide * bulk, 0.08 * self.who.wide * bulk))
        down = np.clip((part.y - 0.16) / 0.36, 0, 1)
        half = broad * (1 + (part.of(self.who.taper) - 1) * down)
        high = np.clip((0.23 - part.y) / 0.075, 0, 1)  # round shoulders
        half = half - broad * 0.5 * (1 - np.sqrt(1 - high * high))
        hem = part.of(np.where(self.jacket, 0.55, 0.525))
        edge = np.maximum(np.abs(part.x) - half, np.maximum(0.155 - part.y, part.y - hem))
        self.round(part, edge, part.x / half, torso_colours(part, self.who, self.pose))

    def backpack(self):
        """A hump behind; seen from before, its straps."""
        carried, c = self.who.bag == BAG.index("backpack"), self.pose.c
        part = self.canvas.part(np.flatnonzero(carried & (c < 0.45)), 0.17, 0.47)
        half = part.of(self.half(0.088, 0.06))
        right = (part.x - part.of(self.seen(0, -0.1))) / half
        edge = np.maximum((np.abs(right) - 1) * half, np.abs(part.y - 0.325) - 0.135)
        pocket = (np.abs(part.y - 0.39) < 0.035) & (np.abs(right) < 0.7)
        self.round(part, edge, right, self.who.bag_colour, np.where(pocket, 0.8, 1))
        part = self.canvas.part(np.flatnonzero(carried & (c > -0.3)), 0.16, 0.36)
        for side in (-1, 1):
            x = part.of(self.seen(side * 0.075 * self.who.wide, 0.06))
            edge = np.maximum(np.abs(part.x - x) - 0.016, np.abs(part.y - 0.255) - 0.095)
            part.paint(edge, self.who.bag_colour)

    def handbag(self):
        who, side = self.who, self.who.bag_side
        hidden = side * -self.near * np.abs(self.pose.s) > 0.8  # on the far side of the body
        images = np.flatnonzero((who.bag == BAG.index("handbag")) & ~hidden)
        x = self.seen(side * (0.15 * who.wide + 0.02), -0.4 * side * self.pose.swing)
        strap = self.seen(side * 0.1 * who.wide, 0), 0.19
        self.canvas.capsule(strap, (x, 0.46), (0.009, 0.009), who.bag_colour * 0.8, images)
        part, half = self.canvas.part(images, 0.44, 0.6), self.half(0.035, 0.075)
        right = (part.x - part.of(x)) / part.of(half)
        edge = np.maximum((np.abs(right) - 1) * part.of(half), np.abs(part.y - 0.52) - 0.06)
        self.round(part, edge, right, who.bag_colour)

    def oval(self, middle, radii, colour, *, images=None, below=1, shown=None):
        """Its part with y < below."""
        part = self.canvas.part(images, 0, 0.17)
        rx, ry = part.of(radii[0]), part.of(radii[1])
        dx, dy = (part.x - part.of(middle[0])) / rx, (part.y - middle[1]) / ry
        away = np.sqrt(dx * dx + dy * dy)
        edge = np.maximum((away - 1) * np.minimum(rx, ry), part.y - below)
        part.paint(edge, colour, shade=self.canvas.shade(part, away, dx), shown=shown)

    def head(self):
        """All hair, then the face where it is seen, then a cap."""
        who, c, s = self.who, self.pose.c, self.pose.s
        bald = (who.hair == HAIR.index("none"))[:, None]
        crown = np.where(bald, who.skin, who.hair_colour)
        self.oval((0.01 * s, 0.072), (0.056, 0.072), crown)
        face = 0.03 + 0.018 * np.clip(c, 0, 1), 0.055
        self.oval((0.028 * s, 0.09), face, who.skin, shown=np.clip((c + 0.55) / 0.4, 0, 1))
        cap, colour = np.flatnonzero(who.hair == HAIR.index("cap")), who.bag_colour
        self.oval((0.01 * s, 0.062), (0.062, 0.066), colour, images=cap, below=0.058)
        brim = (0, 0.056), (self.seen(0, 0.085), 0.06), (0.012, 0.012)
        self.canvas.capsule(*brim, colour * 0.8, cap, shown=c > -0.5)

    def hair_behind(self, here):
        """Long hair, which falls over neck and shoulders."""
        images = np.flatnonzero((self.who.hair == HAIR.index("long")) & here)
        x = self.seen(0, -0.028)
        radii = self.half(0.062, 0.04), self.half(0.052, 0.034)
        self.canvas.capsule((x, 0.08), (1.2 * x, 0.2), radii, self.who.hair_colour, images)
