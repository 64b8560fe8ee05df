"""Where and with what something was measured."""

import importlib.metadata
import os
import platform
import subprocess
import time
from pathlib import Path

import torch

from drsl_cuda import build_info

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("torch", "numpy", "pytorch-metric-learning", "pykeops", "matplotlib")


def said(*command):
    """What a program prints, or None."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=20, check=False, cwd=ROOT
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def cpu_model():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def clocks():
    query = "--query-gpu=clocks.sm,clocks.mem,power.draw,power.limit"
    return said("nvidia-smi", query, "--format=csv,noheader")


def facts(device, threads=None):
    info = build_info()
    on_gpu = device == "cuda"
    return {
        "device": torch.cuda.get_device_name() if on_gpu else cpu_model(),
        "kind": device,
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": threads or torch.get_num_threads(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "build": {key: str(value) for key, value in info.items()},
        "clocks": clocks() if on_gpu else None,
        **source(),
    }


def source():
    """{"commit", "dirty"}: dirty if files that git knows, other than results, are changed."""
    commit = said("git", "rev-parse", "HEAD")
    changed = said("git", "status", "--porcelain", "--untracked-files=no")
    files = [line[3:] for line in (changed or "").splitlines()]
    dirty = any(not file.startswith("bench/results/") and file != "README.md" for file in files)
    return {"commit": commit, "dirty": dirty if commit else None}


def load():
    """{"at": when, "average": of the last minute}."""
    return {"at": time.strftime("%Y-%m-%d %H:%M:%S"), "average": round(os.getloadavg()[0], 2)}


def slug(name):
    """Letters, digits, dots and dashes alone: NVIDIA H200 → nvidia-h200."""
    kept = "".join(c if c.isalnum() or c == "." else "-" for c in name.lower())
    return "-".join(filter(None, kept.split("-")))
