"""Pieces of HTML: escaped text, numbers as the page writes them, pictures as data URIs."""

import base64
import html
import io
import math

import numpy as np
from PIL import Image

from report.spread import mean, spread

MINUS = "\N{MINUS SIGN}"
THIN = "\N{NARROW NO-BREAK SPACE}"


def escape(text):
    return html.escape(str(text), quote=True)


def number(value, digits=1):
    return "–" if math.isnan(value) else f"{value:.{digits}f}".replace("-", MINUS)


def signed(value, digits=1):
    return number(value, digits) if value < 0 else "+" + number(value, digits)


def percent(share, digits=1):
    """0.713 → 71.3 %"""
    return number(100 * share, digits) + THIN + "%"


def with_spread(values, digits=1, scale=100.0):
    """Mean ± spread over seeds, scaled (to percent unless told otherwise)."""
    text = number(scale * mean(values), digits)
    if len(values) > 1:
        text += f" ±{THIN}{number(scale * spread(values), digits)}"
    return text


def listing(words, last="and"):
    """a, b and c"""
    words = list(words)
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def data_uri(picture):
    """JPEG of a [3, H, W] uint8 picture. At this size it is a third of a PNG, and looks the same."""
    image = Image.fromarray(np.ascontiguousarray(picture.transpose(1, 2, 0)))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def section(name, title, *parts):
    body = "\n".join(part for part in parts if part)
    return f'<section id="{name}">\n<h2>{escape(title)}</h2>\n{body}\n</section>'


def paragraph(text, kind=""):
    """`text` is HTML already."""
    return f'<p class="{kind}">{text}</p>' if kind else f"<p>{text}</p>"


def figure(body, caption, kind=""):
    return f'<figure class="{kind}">{body}<figcaption>{caption}</figcaption></figure>'
