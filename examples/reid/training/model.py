"""A backbone, then the BN neck: the ranking loss sees what is before it, retrieval what is behind."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from training.weights import load_weights

NAMES = ("small", "resnet50", "vit_small")


class Output(NamedTuple):
    """Of B images."""

    embedding: Tensor  # [B, D] before the neck: for the ranking loss
    features: Tensor  # [B, D] behind it: for retrieval
    logits: Tensor | None = None  # [B, classes] of the features: for the identity loss


class Neck(nn.Module):
    """backbone(images) -> [B, D], then batch normalisation without a shift, then a classifier.

    The shift stays 0 so that the classifier's planes pass through the origin, as retrieval by
    angle wants it.
    """

    def __init__(self, backbone, dim, classes):
        super().__init__()
        self.backbone = backbone
        self.neck = nn.BatchNorm1d(dim)
        self.neck.bias.requires_grad_(False)
        self.classifier = nn.Linear(dim, classes, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.001)

    def forward(self, images):
        embedding = self.backbone(images).float()
        features = self.neck(embedding)
        return Output(embedding, features, self.classifier(features))


class Plain(nn.Module):
    """backbone(images) -> [B, D], embedding and features at once.

    What nothing trains is not there: a neck without an identity loss behind it would only make
    all numbers of an embedding equally large, those that say nothing too.
    """

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone

    def forward(self, images):
        embedding = self.backbone(images).float()
        return Output(embedding, embedding)


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, width):
        super().__init__()
        self.layers = nn.Sequential(
            *_convolution(width, width, 1), nn.ReLU(), *_convolution(width, width, 1)
        )

    def forward(self, x):
        return torch.relu(x + self.layers(x))


def _convolution(inputs, outputs, stride):
    return nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)


class Small(nn.Sequential):
    """A CNN for images of about 64 x 32: 1/8 of their height and width, mean and maximum of each map."""

    dim = 256

    def __init__(self):
        layers = []
        for inputs, outputs in ((3, 32), (32, 64), (64, 128)):
            layers += [*_convolution(inputs, outputs, 2), nn.ReLU()]
        super().__init__(*layers, Block(128))

    def forward(self, images):
        maps = super().forward(images.to(memory_format=torch.channels_last)).flatten(2)
        return torch.cat([maps.mean(-1), maps.amax(-1)], -1)


def _small(size):
    return Small().to(memory_format=torch.channels_last), Small.dim


def _resnet50(size):
    try:
        from torchvision.models import resnet50
    except (ImportError, RuntimeError) as error:  # RuntimeError: built for another torch
        raise ImportError(
            f"model resnet50 needs a torchvision that fits this torch ({error})"
        ) from error
    net = resnet50(weights=None)
    net.layer4[0].conv2.stride = net.layer4[0].downsample[0].stride = (1, 1)  # maps twice as large
    net.fc = nn.Identity()
    return net, 2048


def _vit_small(size):
    try:
        from timm import create_model
    except (ImportError, RuntimeError) as error:
        raise ImportError(
            f"model vit_small needs timm, and a torchvision that fits this torch ({error})"
        ) from error
    if size[0] % 16 or size[1] % 16:
        raise ValueError(
            f"height and width must be multiples of 16 for vit_small, got {size[0]} x {size[1]}"
        )
    net = create_model("vit_small_patch16_224", pretrained=False, num_classes=0, img_size=size)
    return net, net.num_features


_BACKBONES = {"small": _small, "resnet50": _resnet50, "vit_small": _vit_small}


def build(name, *, classes, weights=None, size=(64, 32)):
    """A model: model(images) -> Output, for images [B, 3, H, W] of about mean 0 and deviation 1.

    classes  identities that the classifier tells apart; None: no identity loss, so no neck either
    weights  a file to take the backbone's from; nothing is downloaded
    size     (H, W), which vit_small has to know
    """
    if name not in _BACKBONES:
        raise ValueError(f"model must be one of {', '.join(NAMES)}, got {name!r}")
    backbone, dim = _BACKBONES[name](size)
    if weights is not None:
        load_weights(backbone, weights)
    return Plain(backbone) if classes is None else Neck(backbone, dim, classes)


def normalised(images):
    """uint8 [.., 3, H, W] → float32 by the mean and deviation that published weights expect."""
    mean = torch.tensor([0.485, 0.456, 0.406], device=images.device).view(3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225], device=images.device).view(3, 1, 1)
    return (images.float() / 255 - mean) / deviation


def count(model):
    """Numbers that are trained."""
    return sum(math.prod(p.shape) for p in model.parameters() if p.requires_grad)
