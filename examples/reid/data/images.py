"""Images in files: decoded when they are asked for, all brought to one size."""

import os

import numpy as np
import torch

from .split import Split


class FileSplit(Split):
    """paths[i] is image i; H × W is what each is resized to."""

    def __init__(self, paths, identities, cameras, height, width):
        super().__init__(identities, cameras)
        if len(paths) != len(self):
            raise ValueError(f"{len(self)} identities were given for {len(paths)} paths")
        self.paths, self.height, self.width = list(paths), height, width

    def __getitem__(self, index):
        return read(self.paths[index], self.height, self.width)

    def where(self, index):
        return os.fspath(self.paths[index])


def read(path, height, width):
    """uint8 [3, height, width]; ValueError with the file's name if it cannot be decoded to the end."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
    # what Pillow's decoders raise is of many types: SyntaxError, struct.error, OverflowError, ...
    except Exception as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ValueError(f"{path} cannot be read as an image: {reason}") from error
    resized = upright.resize((width, height), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1).contiguous()
