"""Contenders that misbehave, each in its way: what `--with` brings into the benchmark's processes."""

import os
import time

import torch

from bench.contenders import Contender, add
from bench.steps import Step, leaves_of, plain


def sleeps(case, loss, data):
    time.sleep(99)


def hungry(case, loss, data):
    return torch.empty(2**42, dtype=torch.uint8)


def raises(case, loss, data):
    raise ValueError("a complaint\nof two lines")


def dies(case, loss, data):
    os.abort()


def wrong(case, loss, data):
    right = plain(case, loss, data)
    return Step(lambda x: 1.01 * right.call(x), leaves_of(case, data))


def nan(case, loss, data):
    return Step(lambda x: x.sum() * float("nan"), leaves_of(case, data))


def good(case, loss, data):
    return Step(lambda x: x.square().sum(), leaves_of(case, data))


for _build, _same in (
    (good, False), (sleeps, False), (hungry, False), (raises, False), (dies, False), (wrong, True),
    (nan, False),
):  # fmt: skip
    add(Contender(_build.__name__, _build.__name__, _build, ("drsl",), same=_same))
add(Contender("absent", "absent", good, ("drsl",), needs="no_module_of_this_name"))
