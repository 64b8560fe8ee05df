"""Runs train.py or evaluate.py of the example as a command, with the tests' data as --data fake.

python tests/reid_command.py train --data fake ...

With REID_PAUSE=90 the 91st image is not read before standard input has come to its end: whoever
interrupts the command knows where it is.
"""

import os
import sys
import types
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).parent.parent / "examples" / "reid"))


def load(spec, *, height=None, width=None, seed=0):
    if spec != "fake":
        raise ValueError(f"data must be fake, got {spec!r}")
    from reid_kit import fake

    data = fake(seed=seed)
    if "REID_PAUSE" in os.environ:
        object.__setattr__(data, "train", Pausing(data.train, int(os.environ["REID_PAUSE"])))
    return data


class Pausing(torch.utils.data.Dataset):
    def __init__(self, images, after):
        self.images, self.left = images, after

    def __getattr__(self, name):
        return getattr(self.images, name)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        if self.left == 0:
            sys.stdin.read()
        self.left -= 1
        return self.images[i]


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.modules["data"] = types.ModuleType("data")
    sys.modules["data"].load = load
    name, sys.argv = sys.argv[1], [f"{sys.argv[1]}.py", *sys.argv[2:]]
    sys.exit(__import__(name).main())
