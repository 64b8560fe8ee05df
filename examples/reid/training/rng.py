"""The generators that code may draw from without being told: of torch, CUDA, Python and NumPy."""

import random
from contextlib import contextmanager

import numpy
import torch


def seed_all(seed):
    torch.manual_seed(seed)
    random.seed(seed)
    numpy.random.seed(seed % 2**32)


def state(device):
    """Of this process, as tensors and plain types."""
    name, keys, position, has_gauss, gauss = numpy.random.get_state()
    saved = {
        "torch": torch.get_rng_state(),
        "python": random.getstate(),
        "numpy": (name, [int(key) for key in keys], int(position), int(has_gauss), float(gauss)),
    }
    if device.type == "cuda":
        saved["cuda"] = torch.cuda.get_rng_state(device)
    return saved


def restore(saved, device):
    torch.set_rng_state(saved["torch"])
    version, numbers, gauss = saved["python"]
    random.setstate((version, tuple(numbers), gauss))
    name, keys, *rest = saved["numpy"]
    numpy.random.set_state((name, numpy.array(keys, dtype=numpy.uint32), *rest))
    if device.type == "cuda" and "cuda" in saved:
        torch.cuda.set_rng_state(saved["cuda"], device)


@contextmanager
def untouched(device):
    """What is drawn inside does not change what is drawn afterwards."""
    before = state(device)
    try:
        yield
    finally:
        restore(before, device)
