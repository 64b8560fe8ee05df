"""Runs the package's operators by the CUDA kernels, on host threads: no GPU is needed.

    with on_host_threads("warp"):
        functional.drsl_loss(x, labels)  # x on the CPU

The library is compiled from csrc/cuda by tools/build_host.py when it is first asked for. While the
context lasts its operators stand in for those of the CPU, whoever calls them and however. Memory that
nobody has written holds NaN meanwhile: what a GPU hands out holds anything.
"""

import contextlib
import ctypes
import functools
import importlib.util
import os
import warnings
from pathlib import Path

import torch

from drsl_cuda._torch_private import has_kernel

ORDERS = ("forward", "reverse", "shuffle", "warp")
OPERATORS = (
    "pairwise",
    "rank_sort",
    "redistribute",
    "embedding_loss",
    "rank_sort_loss",
    "ap_loss",
    "alrp_loss",
    "fixed_point",
    "match_digits",
    "exact_distances",
    "squared_lengths",
)
VARIANT = os.environ.get("DRSL_HOST_VARIANT", "plain")  # or sanitized, coverage


def builder():
    path = Path(__file__).resolve().parents[1] / "tools/build_host.py"
    spec = importlib.util.spec_from_file_location("build_host", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@functools.cache
def library():
    path = builder().build(VARIANT)
    torch.ops.load_library(path)
    loaded = ctypes.CDLL(path)
    loaded.drsl_host_configure.argtypes = ctypes.c_char_p, ctypes.c_uint64, ctypes.c_int
    loaded.drsl_host_configure.restype = ctypes.c_bool
    loaded.drsl_host_limit_shared.argtypes = (ctypes.c_uint64,)
    loaded.drsl_host_limit_shared.restype = None
    loaded.drsl_host_launches.restype = loaded.drsl_host_switches.restype = ctypes.c_uint64
    return loaded


def has_kernels(operator):
    """Whether csrc/cuda implements it."""
    library()
    return has_kernel(f"drsl_host::{operator}", "CPU")


def launches():
    return library().drsl_host_launches()


@contextlib.contextmanager
def on_host_threads(order="forward", *, seed=1, os_threads=1, most_shared=0):
    """os_threads of the machine's share the blocks of a kernel. most_shared: bytes of shared memory
    that a block may have, if fewer than on the largest GPUs."""
    if not library().drsl_host_configure(order.encode(), seed, os_threads):
        raise ValueError(f"order must be one of {ORDERS}, got {order!r}")
    library().drsl_host_limit_shared(most_shared)
    instead = torch.library.Library("drsl", "IMPL")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that an operator's kernel is overridden
        for name in filter(has_kernels, OPERATORS):
            instead.impl(name, getattr(torch.ops.drsl_host, name).default, "CPU")
    deterministic = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)  # torch.empty is filled then
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(deterministic)
        instead._destroy()
        library().drsl_host_limit_shared(0)
