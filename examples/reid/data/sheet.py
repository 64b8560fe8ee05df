"""A contact sheet: python -m data.sheet synthetic sheet.png"""

import sys

import torch
from PIL import Image

from . import load


def sheet(split, rows, columns, zoom=2):
    """One identity a row, its cameras in order, as a Pillow image."""
    h, w = split[0].shape[1:]
    page = torch.full((3, rows * (h + 2), columns * (w + 2)), 255, dtype=torch.uint8)
    identities = [i for i in split.identities.unique().tolist() if i > 0][:rows]
    for r, identity in enumerate(identities):
        found = (split.identities == identity).nonzero()[:, 0]
        found = found[split.cameras[found].argsort(stable=True)]
        for c, index in enumerate(found[:columns].tolist()):
            page[:, r * (h + 2) : r * (h + 2) + h, c * (w + 2) : c * (w + 2) + w] = split[index]
    page = page.repeat_interleave(zoom, 1).repeat_interleave(zoom, 2)
    return Image.fromarray(page.permute(1, 2, 0).numpy())


if __name__ == "__main__":
    sheet(load(sys.argv[1]).train, 10, 14).save(sys.argv[2])
