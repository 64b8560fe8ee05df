"""Runs train.py or evaluate.py of the example as a command, with the tests' data as --data fake.

python tests/reid_command.py train --data fake ...
"""

import sys
import types
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).parent.parent / "examples" / "reid"))


def load(spec, *, height=None, width=None, seed=0):
    if spec != "fake":
        raise ValueError(f"data must be fake, got {spec!r}")
    from reid_kit import fake

    return fake(seed=seed)


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.modules["data"] = types.ModuleType("data")
    sys.modules["data"].load = load
    name, sys.argv = sys.argv[1], [f"{sys.argv[1]}.py", *sys.argv[2:]]
    sys.exit(__import__(name).main())
