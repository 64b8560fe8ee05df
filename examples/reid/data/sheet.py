"""A contact sheet of a data set: python -m data.sheet synthetic --out sheet.png, in examples/reid."""

import argparse
import os
import sys
from pathlib import Path

import torch

from . import describe, load

GAP = 2  # white pixels around an image


def sheet(split, rows, columns, zoom=1):
    """One identity a row, its images in order of cameras, as a Pillow image."""
    from PIL import Image

    h, w = split[0].shape[1:]
    page = torch.full((3, rows * (h + GAP), columns * (w + GAP)), 255, dtype=torch.uint8)
    shown = [i for i in split.identities.unique().tolist() if i > 0][:rows]
    for top, identity in zip(range(0, page.shape[1], h + GAP), shown, strict=False):
        found = (split.identities == identity).nonzero()[:, 0]
        found = found[split.cameras[found].argsort(stable=True)][:columns].tolist()
        for left, index in zip(range(0, page.shape[2], w + GAP), found, strict=False):
            page[:, top : top + h, left : left + w] = split[index]
    page = page.repeat_interleave(zoom, 1).repeat_interleave(zoom, 2)
    return Image.fromarray(page.permute(1, 2, 0).numpy())


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m data.sheet", description=__doc__)
    parser.add_argument("data", nargs="?", default="synthetic", help="as --data of train.py")
    parser.add_argument("--split", choices=("train", "query", "gallery"), default="train")
    parser.add_argument("--rows", type=int, default=8, help="identities (%(default)s)")
    parser.add_argument("--columns", type=int, default=12, help="images of each (%(default)s)")
    parser.add_argument("--zoom", type=int, default=2, help="whole number (%(default)s)")
    parser.add_argument("--colours", type=int, help="at most 256: a smaller file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("sheet.png"))
    asked = parser.parse_args(arguments)
    for name in ("rows", "columns", "zoom"):
        if not 1 <= getattr(asked, name) <= 1000:
            parser.error(f"--{name} must be in 1…1000, got {getattr(asked, name)}")
    if asked.colours is not None and not 2 <= asked.colours <= 256:
        parser.error(f"--colours must be in 2…256, got {asked.colours}")
    try:
        data = load(asked.data, seed=asked.seed)
        page = sheet(getattr(data, asked.split), asked.rows, asked.columns, asked.zoom)
        if asked.colours:
            page = page.quantize(asked.colours)
        _save(page, asked.out)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    print(describe(data))
    print(f"{asked.out}: {page.width} × {page.height}, {asked.out.stat().st_size / 1e3:.0f} kB")


def _save(page, path):
    """All of the file or none of it."""
    part = path.with_name(path.name + ".part")
    with open(part, "wb") as file:
        page.save(file, format="PNG", optimize=True)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


if __name__ == "__main__":
    sys.exit(main())
