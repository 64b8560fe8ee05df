"""Painting many pictures at once: shapes as distances, a pixel's share from its distance to the edge.

Only +, −, ×, ÷, √, min and max are used, each rounded as IEEE 754 says, so that the bits do not
depend on the machine.
"""

import numpy as np


def column(values):
    """[n] -> [n, 1, 1] float32."""
    return np.asarray(values, np.float32).reshape(-1, 1, 1)


class Canvas:
    """picture [n, 3, H, W] float32 in 0 … 255, which is painted on.

    x [n, 1, W], y [n, H, 1]   middles of the pixels, in body heights
    pixel [n, 1, 1]            a pixel's side, likewise
    light [n, 1, 1]            how much brighter the right side of things is
    """

    def __init__(self, picture, x, y, pixel, light):
        self.picture, self.x, self.y = picture, x, y
        self.pixel, self.light = pixel, light

    def part(self, images, top, bottom):
        """Some images (None: all), and the rows that see y from top to bottom in any of them."""
        pick = slice(None) if images is None else images
        y, margin = self.y[pick], 2 * self.pixel[pick]  # edges are soft
        rows = np.flatnonzero(((y >= top - margin) & (y <= bottom + margin)).any(axis=(0, 2)))
        return Part(self, pick, *((rows[0], rows[-1] + 1) if len(rows) else (0, 0)))

    def capsule(self, a, b, radii, colour, images=None, shown=None):
        """What is within radii = (at a, at b) of the line from a = (x, y) to b; numbers, or [n] each."""
        pick = slice(None) if images is None else images
        ax, ay, bx, by, r0, r1 = (
            column(np.broadcast_to(v, len(self.picture))[pick]) for v in (*a, *b, *radii)
        )
        top, bottom = np.minimum(ay - r0, by - r1), np.maximum(ay + r0, by + r1)
        part = self.part(images, top.min(initial=2), bottom.max(initial=-1))
        ex, ey = bx - ax, by - ay
        x, y = part.x - ax, part.y - ay
        along = ex * ex + ey * ey + np.float32(1e-9)
        t = np.clip(x * (ex / along) + y * (ey / along), 0, 1)
        dx, dy = x - t * ex, y - t * ey
        r = r0 + t * (r1 - r0)
        away = np.sqrt(dx * dx + dy * dy)
        part.paint(away - r, colour, shade=self.shade(part, away / r, dx / r), shown=shown)

    def shade(self, part, away, right):
        """Round things are darker towards their edge; away and right are shares of the radius."""
        return 1 - np.float32(0.25) * np.minimum(away * away, 1) + part.light * right


class Part:
    """Some images and rows of a canvas."""

    def __init__(self, canvas, images, first, last):
        self.canvas, self.images, self.rows = canvas, images, slice(first, last)
        self.x = canvas.x[images]
        self.y = canvas.y[images][:, self.rows]
        self.pixel, self.light = canvas.pixel[images], canvas.light[images]

    def of(self, values):
        """[N, ...] of all images -> those of this part; [n, 1, 1]."""
        values = np.asarray(values, np.float32)
        return column(values if values.ndim == 0 else values[self.images])

    def paint(self, distance, colour, *, shade=None, shown=None):
        """distance [n, h, w], below 0 inside; colour [N, 3] of all images, or [n, 3, h, w] of these."""
        if not distance.size:
            return
        cover = np.clip(np.float32(0.5) - distance / self.pixel, 0, 1)
        if shown is not None:
            cover = cover * self.of(shown)
        colour = np.asarray(colour, np.float32)
        if colour.ndim == 2:
            colour = colour[self.images][:, :, None, None]
        if shade is not None:
            colour = colour * shade[:, None]
        under = self.canvas.picture[self.images, :, self.rows]
        under += cover[:, None] * (colour - under)
        if not isinstance(self.images, slice):  # then that was a copy
            self.canvas.picture[self.images, :, self.rows] = under
