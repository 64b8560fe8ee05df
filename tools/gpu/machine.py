"""python tools/gpu/machine.py: what this machine is, as JSON. A program of its own: drivers hang.

"gpu" is null where torch finds no GPU that it can use, and "why" says so in a sentence.
"""

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("torch", "triton", "numpy", "pybind11", "setuptools", "ninja", "pytest", "hypothesis")
QUERY = "name,driver_version,memory.total,clocks.sm,clocks.mem,clocks.max.sm,power.draw,power.limit"


def said(*command):
    """What a program prints, or None."""
    if not shutil.which(command[0]):
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        return None
    return done.stdout.strip() or None


def find_tool(name):
    """A program of the CUDA toolkit: on PATH, or where toolkits lie."""
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH") or "/usr/local/cuda"
    beside = [Path(home, "bin", name), Path(home, name, name)]
    found = [str(path) for path in beside if path.is_file()]
    return shutil.which(name) or (found[0] if found else None)


def version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def release(program):
    """The line of its --version that says which it is."""
    lines = (said(program, "--version") or "").splitlines() if program else []
    return next((line.strip() for line in lines if re.search(r"\d+\.\d+", line)), program)


def gpu_and_why():
    try:
        import torch
    except ImportError as error:
        return None, f"{sys.executable} has no torch ({error})"
    if not torch.cuda.is_available():
        return None, f"torch {torch.__version__} finds no CUDA device"
    device = torch.cuda.get_device_properties(0)
    major, minor = torch.cuda.get_device_capability(0)
    return {
        "name": device.name,
        "arch": f"{major}{minor}",
        "multiprocessors": device.multi_processor_count,
        "memory_bytes": device.total_memory,
        "l2_bytes": getattr(device, "L2_cache_size", None),
        "devices": torch.cuda.device_count(),
        "cuda_of_torch": torch.version.cuda,
    }, None


def digest_of_sources():
    """Names what was measured where there is no git."""
    digest = hashlib.sha256()
    for folder, pattern in (("csrc", "*"), ("drsl_cuda", "*.py")):
        for path in sorted((ROOT / folder).rglob(pattern)):
            if path.is_file():
                digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def facts():
    gpu, why = gpu_and_why()
    nvcc, sanitizer = find_tool("nvcc"), find_tool("compute-sanitizer")
    commit = said("git", "-C", str(ROOT), "rev-parse", "HEAD")
    changed = said("git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no")
    return {
        "gpu": gpu,
        "why": why,
        "nvidia_smi": said("nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader"),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "cpus": len(os.sched_getaffinity(0)),
        "packages": {name: version(name) for name in PACKAGES},
        "nvcc": release(nvcc),
        "compute_sanitizer": release(sanitizer),
        "cxx": (said(os.environ.get("CXX", "c++"), "--version") or "none").splitlines()[0],
        "sources": digest_of_sources(),
        "commit": commit and commit + (" and changes" if changed else ""),
    }


if __name__ == "__main__":
    print(json.dumps(facts(), indent=2))
