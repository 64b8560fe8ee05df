"""Painting many pictures at once: shapes as distances, a pixel's share from its distance to the edge.

Only +, −, ×, ÷, √, min and max are used, each rounded as IEEE 754 says, so that the bits do not
depend on the machine.
"""

import numpy as np


def column(values):
    """[n] -> [n, 1, 1] float32."""
    return np.asarray(values, np.float32).reshape(-1, 1, 1)


class Canvas:
    """picture [n, 3, H, W] float32 in 0 … 255. x [n, 1, W] and y [n, H, 1] are its pixels' middles in body
    heights, pixel [n, 1, 1] is a pixel's side in them, light [n, 1, 1] how much brighter the right is."""

    def __init__(self, picture, x, y, pixel, light):
        self.picture, self.x, self.y = picture, x, y
        self.pixel, self.light = pixel, light

    def part(self, images=None, top=None, bottom=None):
        """Some images, and the rows that see y from top to bottom in any of them. None: all."""
        pick = slice(None) if images is None else images
        x, y = self.x[pick], self.y[pick]
        first, last = 0, y.shape[1]
        if top is not None and len(y):
            seen = ((y >= top - 0.03) & (y <= bottom + 0.03)).any(axis=(0, 2))
            rows = np.flatnonzero(seen)
            first, last = (rows[0], rows[-1] + 1) if len(rows) else (0, 0)
        return Part(self, pick, first, last)

    def capsule(self, a, b, radii, colour, images=None, shown=None):
        """Points within radii = (r at a, r at b) of the segment from a to b; a and b are (x, y), [n] each."""
        (ax, ay), (bx, by) = ((column(p), column(q)) for p, q in (a, b))
        r0, r1 = column(radii[0]), column(radii[1])
        if images is None:
            images = slice(None)
        ax, ay, bx, by, r0, r1 = (v if len(v) == 1 else v[images] for v in (ax, ay, bx, by, r0, r1))
        top = float((np.minimum(ay - r0, by - r1)).min(initial=2))
        bottom = float((np.maximum(ay + r0, by + r1)).max(initial=-1))
        part = self.part(images, top, bottom)
        ex, ey = bx - ax, by - ay
        x, y = part.x - ax, part.y - ay
        along = ex * ex + ey * ey + np.float32(1e-9)
        t = np.clip((x * (ex / along)) + (y * (ey / along)), 0, 1)
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
        picture = self.canvas.picture
        if isinstance(self.images, slice):
            under = picture[self.images, :, self.rows]
            under += cover[:, None] * (colour - under)
        else:
            under = picture[self.images, :, self.rows]
            picture[self.images, :, self.rows] = under + cover[:, None] * (colour - under)
