"""Images with their identities and cameras, and the three lists of them that a data set is."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset


class Split(Dataset):
    """A list of images: split[i] is uint8 [3, H, W]. Numbers of identities and cameras are the data set's."""

    identities: Tensor  # [N] int64
    cameras: Tensor  # [N] int64

    def __init__(self, identities, cameras):
        self.identities = torch.as_tensor(identities, dtype=torch.int64)
        self.cameras = torch.as_tensor(cameras, dtype=torch.int64)
        if self.identities.shape != self.cameras.shape or self.identities.dim() != 1:
            raise ValueError(
                "identities and cameras must be two lists of one length, got shapes "
                f"{list(self.identities.shape)} and {list(self.cameras.shape)}"
            )

    def __len__(self):
        return len(self.identities)

    def __getitem__(self, index) -> Tensor:
        raise NotImplementedError

    def where(self, index) -> str:
        """What a person would call the image: its file, or its number."""
        return f"image {index}"


class TensorSplit(Split):
    """All images in memory."""

    def __init__(self, images, identities, cameras):
        super().__init__(identities, cameras)
        if images.dtype != torch.uint8 or images.shape[:2] != (len(self), 3) or images.dim() != 4:
            raise ValueError(
                f"images must be uint8 [{len(self)}, 3, H, W], "
                f"got {images.dtype} {list(images.shape)}"
            )
        self.images = images  # [N, 3, H, W]

    def __getitem__(self, index):
        return self.images[index]

    def __getitems__(self, indices):  # a DataLoader asks for a whole batch this way
        return list(self.images[torch.as_tensor(indices)])


@dataclass(frozen=True)
class ReidData:
    """Train identities are not among those of query and gallery."""

    name: str
    train: Split
    query: Split
    gallery: Split
    junk_ids: tuple = (-1,)  # gallery images of these are in no list
    distractor_ids: tuple = (0,)  # these stay in the lists and match nothing
