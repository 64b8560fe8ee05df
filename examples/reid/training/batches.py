"""From a split and a sampler to batches of images, in this process or in others."""

import signal

import torch
from torch.utils.data import DataLoader

from training.augment import augmented
from training.model import normalised


class _Images(torch.utils.data.Dataset):
    """A list of places → (images uint8 [B, 3, H, W], places [B])."""

    def __init__(self, split):
        self.split = split

    def __len__(self):
        return len(self.split)

    def __getitems__(self, places):
        return torch.stack([self.split[i] for i in places]), torch.tensor(places)


def loader(split, sampler, workers):
    """Batches of a split, as the sampler lists them."""
    return DataLoader(
        _Images(split),
        batch_sampler=sampler,
        collate_fn=_as_it_is,
        num_workers=workers,
        worker_init_fn=_hear_no_ctrl_c,
        generator=torch.Generator(),  # its own: the loader draws a number for its workers
        pin_memory=torch.cuda.is_available(),
    )


def prepared(images, places, settings, epoch, device):
    """Images as the model wants them for training, on the device."""
    images = images.to(device, non_blocking=True)
    if settings.augment:
        images = augmented(images, places, settings.seed, epoch)
    return normalised(images)


def _as_it_is(batch):
    return batch


def _hear_no_ctrl_c(worker):
    """Ctrl-C is for the process that trains, whose handlers a worker begins with."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
