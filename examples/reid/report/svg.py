"""A small chart in SVG: two axes, and on them lines, bands, bars, points.

A chart is 360 wide whatever the screen, so that its letters are legible on a phone, where it is shown
about as wide. What colours things have is decided by the page: series k has the classes s and s<k>.
"""

import math

from report.markup import escape, number

WIDTH, HEIGHT = 360, 250
LEFT, RIGHT, TOP, BOTTOM = 40, 12, 30, 40
SIZE = 4.2
MARKS = (  # of series 0, 1, ...: told apart without colours too
    "M-{0} 0a{0} {0} 0 1 0 {1} 0a{0} {0} 0 1 0 -{1} 0z",  # circle
    "M-{0} -{0}h{1}v{1}h-{1}z",  # square
    "M0 -{0}L{0} {0}H-{0}z",  # triangle
    "M0 -{2}L{2} 0L0 {2}L-{2} 0z",  # diamond
    "M-{0} -{0}L{0} {0}M{0} -{0}L-{0} {0}",  # cross
)


def mark(series, size=SIZE):
    values = (round(v, 2) for v in (size, 2 * size, 1.3 * size))
    return MARKS[series % len(MARKS)].format(*values)


def legend_mark(series):
    """For the legend, which is HTML: a piece of line with the mark on it."""
    line = '<path class="line" d="M1 7H27"/>'
    dot = f'<path class="mark" transform="translate(14 7)" d="{mark(series)}"/>'
    return (
        f'<svg class="key s s{series}" viewBox="0 0 28 14" width="28" height="14" aria-hidden="true">'
        f"{line}{dot}</svg>"
    )


def ticks(low, high, about=5):
    """Round numbers within [low, high], about so many."""
    raw = (high - low) / max(about, 1)
    power = 10.0 ** math.floor(math.log10(raw)) if raw > 0 else 1.0
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def labelled(values):
    """[(value, label)] with as many digits as the values differ by."""
    step = abs(values[1] - values[0]) if len(values) > 1 else 1.0
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return [(value, number(value, digits)) for value in values]


def padded(values, part=0.06, least=1.0):
    """Limits around values, in percent, with some air."""
    low, high = min(values), max(values)
    air = max((high - low) * part, least)
    return low - air, high + air


class Chart:
    """Data coordinates in, one <svg> out. `x`, `y`: (low, high)."""

    def __init__(self, x, y, *, x_label, y_label, alt, x_ticks=None, y_ticks=True):
        self.x, self.y, self.alt = x, y, alt
        self.parts = []
        self._axes(x_label, y_label, x_ticks, y_ticks)

    def _px(self, x):
        low, high = self.x
        return round(LEFT + (x - low) / (high - low) * (WIDTH - LEFT - RIGHT), 1)

    def _py(self, y):
        low, high = self.y
        return round(HEIGHT - BOTTOM - (y - low) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)

    def _axes(self, x_label, y_label, x_ticks, y_ticks):
        bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
        for value, label in labelled(ticks(*self.y)) if y_ticks else ():
            at = self._py(value)
            self.add(f'<path class="grid" d="M{LEFT} {at}H{right}"/>')
            self.text(LEFT - 6, at + 4, label, "end")
        if x_ticks is None:
            x_ticks = labelled(ticks(*self.x))
        for value, label in x_ticks:
            self.add(f'<path class="axis" d="M{self._px(value)} {bottom}v4"/>')
            self.text(self._px(value), bottom + 17, label, "middle")
        self.add(f'<path class="axis" d="M{LEFT} {bottom}H{right}"/>')
        self.text(2, 14, y_label, "start", "label")
        self.text(right, HEIGHT - 5, x_label, "end", "label")

    def add(self, part):
        self.parts.append(part)

    def text(self, px, py, words, anchor, kind="tick"):
        self.add(
            f'<text class="{kind}" x="{px}" y="{py}" text-anchor="{anchor}">{escape(words)}</text>'
        )

    def _path(self, xs, ys):
        return "L".join(f"{self._px(x)} {self._py(y)}" for x, y in zip(xs, ys, strict=True))

    def line(self, series, xs, ys, marks=True):
        self.add(f'<path class="s s{series} line" d="M{self._path(xs, ys)}"/>')
        for x, y in zip(xs, ys, strict=True) if marks else ():
            self.point(series, x, y)

    def point(self, series, x, y):
        move = f"translate({self._px(x)} {self._py(y)})"
        self.add(f'<path class="s s{series} mark" transform="{move}" d="{mark(series, 3.2)}"/>')

    def band(self, series, xs, low, high):
        ways = f"M{self._path(xs, high)}L{self._path(xs[::-1], low[::-1])}z"
        self.add(f'<path class="s s{series} band" d="{ways}"/>')

    def error(self, series, x, low, high):
        at, lo, hi = self._px(x), self._py(low), self._py(high)
        self.add(
            f'<path class="s s{series} line" d="M{at} {lo}V{hi}M{at - 4} {lo}h8M{at - 4} {hi}h8"/>'
        )

    def area(self, kind, edges, heights):
        """Steps of a histogram, filled down to 0. `kind`: a class of the page's style."""
        base = self._py(0)
        way = f"M{self._px(edges[0])} {base}"
        for left, right, height in zip(edges[:-1], edges[1:], heights, strict=True):
            way += f"L{self._px(left)} {self._py(height)}H{self._px(right)}"
        self.add(f'<path class="{kind}" d="{way}V{base}z"/>')

    def dots(self, kind, xs, ys):
        """Many points as one path: short strokes with round ends."""
        way = "".join(f"M{self._px(x)} {self._py(y)}h0" for x, y in zip(xs, ys, strict=True))
        self.add(f'<path class="{kind}" d="{way}"/>')

    def svg(self):
        return (
            f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(self.alt)}">'
            + "".join(self.parts)
            + "</svg>"
        )
