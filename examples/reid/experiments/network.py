"""The network of the short runs: small enough to learn something in five seconds on two cores."""

import torch
import torch.nn.functional as F
from torch import nn

from training.model import Neck

WIDTHS = (16, 32, 64)
STRIPES = 4  # an image is cut into so many from top to bottom: what is worn on top is not what is worn below
DIM = 128


def layer(inputs, outputs, stride):
    convolution = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    return convolution, nn.BatchNorm2d(outputs), nn.ReLU()


class Stripes(nn.Module):
    """[B, 3, H, W] → [B, DIM]: six convolutions, the mean of each stripe, one linear map."""

    def __init__(self):
        super().__init__()
        layers = []
        for inputs, outputs in zip((3, *WIDTHS[:-1]), WIDTHS, strict=True):
            layers += [*layer(inputs, outputs, 2), *layer(outputs, outputs, 1)]
        self.maps = nn.Sequential(*layers)
        self.mix = nn.Linear(STRIPES * WIDTHS[-1], DIM)

    def forward(self, images):
        maps = self.maps(images.to(memory_format=torch.channels_last))
        return self.mix(F.adaptive_avg_pool2d(maps, (STRIPES, 1)).flatten(1))


def build(seed, classes):
    """Before the neck the losses see DIM numbers, behind it retrieval does. The same weights for a seed."""
    torch.manual_seed(seed)
    return Neck(Stripes().to(memory_format=torch.channels_last), DIM, classes)


def told():
    numbers = sum(p.numel() for p in Stripes().parameters())
    return (
        f"six convolutions of {WIDTHS[0]} to {WIDTHS[-1]} channels, means of {STRIPES} stripes, "
        f"{DIM} numbers a picture; {numbers:,} weights, from scratch"
    )
