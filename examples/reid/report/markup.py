"""Pieces of HTML: escaped text, numbers as the page writes them, pictures as data URIs."""

import base64
import html
import math
import struct
import zlib

import numpy as np

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


def with_spread(values, digits=1, scale=100.0, gap="\N{NO-BREAK SPACE}"):
    """Mean ± spread over seeds, scaled (to percent unless told otherwise)."""
    text = number(scale * mean(values), digits)
    if len(values) > 1:
        text += f"{gap}±{THIN}{number(scale * spread(values), digits)}"
    return text


def listing(words, last="and"):
    """a, b and c"""
    words = list(words)
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def png(picture):
    """[3, H, W] uint8 as a PNG file, each row stored as what it differs by from the row above."""
    rows = np.ascontiguousarray(picture.transpose(1, 2, 0)).reshape(picture.shape[1], -1)
    above = np.vstack([np.zeros_like(rows[:1]), rows[:-1]])
    filtered = np.hstack([np.full((len(rows), 1), 2, np.uint8), rows - above])
    header = struct.pack(">IIBBBBB", picture.shape[2], picture.shape[1], 8, 2, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(filtered.tobytes(), 9)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


def data_uri(picture):
    return "data:image/png;base64," + base64.b64encode(png(picture)).decode()


def section(name, title, *parts):
    body = "\n".join(part for part in parts if part)
    return f'<section id="{name}">\n<h2>{escape(title)}</h2>\n{body}\n</section>'


def paragraph(text, kind=""):
    """`text` is HTML already."""
    return f'<p class="{kind}">{text}</p>' if kind else f"<p>{text}</p>"


def figure(body, caption, kind=""):
    return f'<figure class="{kind}">{body}<figcaption>{caption}</figcaption></figure>'
