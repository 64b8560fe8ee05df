"""The processes of a run: which one this is, and the little that they tell each other."""

import os
from datetime import timedelta

import torch
import torch.distributed as dist

_PATIENCE = timedelta(hours=2)  # the others wait while rank 0 evaluates


def join(device):
    """What torchrun started becomes a group; nothing happens in a process that runs alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)


def leave():
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def device_of(name):
    """ "auto", "cpu", "cuda" → this process's device; ValueError if there is none of the name."""
    if name not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device must be auto, cpu or cuda, got {name!r}")
    has = torch.cuda.is_available()
    if name == "cuda" and not has:
        raise ValueError("device is cuda, but torch finds no CUDA device here")
    if name == "cpu" or not has:
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device


class Ranks:
    """The default process group, or one process."""

    def __init__(self):
        alone = not (dist.is_available() and dist.is_initialized())
        self.rank, self.size = (0, 1) if alone else (dist.get_rank(), dist.get_world_size())

    @property
    def first(self):
        return self.rank == 0

    def largest(self, numbers, device):
        """The largest of each number over the ranks."""
        if self.size == 1:
            return numbers
        tensor = torch.tensor(numbers, dtype=torch.float64, device=device)
        dist.all_reduce(tensor, dist.ReduceOp.MAX)
        return tensor.tolist()

    def mean(self, named, device):
        """The mean of each named number over the ranks, which have the same names."""
        if self.size == 1:
            return named
        tensor = torch.tensor(list(named.values()), dtype=torch.float64, device=device)
        dist.all_reduce(tensor)
        return dict(zip(named, (tensor / self.size).tolist(), strict=True))

    def from_first(self, value):
        """Rank 0's value, a plain thing, on every rank."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box)
        return box[0]

    def all(self, value):
        """Everyone's values, a list."""
        if self.size == 1:
            return [value]
        values = [None] * self.size
        dist.all_gather_object(values, value)
        return values
