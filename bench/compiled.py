"""python bench/compiled.py: torch.compile of the reference, a line of JSON for each problem.

A program of its own, since compiling takes long and must be stopped when time is up.
"""

import json
import sys

import contenders
import torch
from problems import FULL, QUICK, batch
from timing import Timer

from drsl_cuda import reference

SHAPES = ((64, 2048), (1024, 512))  # B, D


def main():
    quick = "--quick" in sys.argv
    device = "cuda" if torch.cuda.is_available() else "cpu"
    timer = Timer(device)
    for problem in QUICK[:1] if quick else FULL:
        if not quick and ((problem.size, problem.dim) not in SHAPES or problem.sets > 1):
            continue
        x, labels = batch(problem, "random", device)
        run = contenders.step(torch.compile(reference.drsl_loss), x, labels)
        taken = timer.in_turns({"compiled": run}, 0.5)["compiled"]["median"]
        print(json.dumps({"name": problem.name, "ms": taken}), flush=True)


if __name__ == "__main__":
    main()
