"""Data sets by name: load("synthetic"), load("market1501:PATH"). Nothing here knows of models."""

from . import synthetic
from .split import ReidData, Split, TensorSplit

__all__ = ["ReidData", "Split", "TensorSplit", "load"]


def load(spec, *, height=None, width=None, seed=0):
    return synthetic.build(spec, height=height or 64, width=width or 32, seed=seed)
