"""Handwritten digits, which ship with scikit-learn: real data, ten identities, cameras that are made up.

An identity is a digit. The 1,797 images are of 13 writers, and the file does not say whose each is; 13
blocks of the file's order stand for them and are the cameras. Six digits are for training, four for test.
"""

import torch

from .split import ReidData, TensorSplit

SIZE = (32, 32)
TEST = (2, 5, 7, 8)  # the others are for training
BLOCKS = 13


def load(kind, text, height, width, seed):
    del text, seed  # nothing is drawn
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ValueError(
            f"{kind} needs the package scikit-learn: pip install scikit-learn"
        ) from error
    digits = load_digits()
    images = _grown(torch.from_numpy(digits.images), height, width)
    identities = torch.from_numpy(digits.target).to(torch.int64)
    cameras = torch.arange(len(identities)) * BLOCKS // len(identities) + 1
    tested = torch.isin(identities, torch.tensor(TEST))
    # one query for each digit and block: the first
    pairs = (identities * (BLOCKS + 1) + cameras).tolist()
    first = torch.tensor([pairs.index(pair) == i for i, pair in enumerate(pairs)])

    def split(chosen):
        return TensorSplit(images[chosen], identities[chosen], cameras[chosen])

    return ReidData(
        kind,
        split(~tested),
        split(tested & first),
        split(tested & ~first),
        junk_ids=(),
        distractor_ids=(),  # 0 is a digit
    )


def _grown(images, height, width):
    """[N, 8, 8] of 0 … 16 -> uint8 [N, 3, height, width], each pixel the nearest one."""
    rows = torch.arange(height) * 8 // height
    columns = torch.arange(width) * 8 // width
    grey = (images * 255 / 16).round().to(torch.uint8)[:, rows][:, :, columns]
    return grey[:, None].expand(-1, 3, -1, -1).contiguous()
