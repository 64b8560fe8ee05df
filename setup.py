"""Builds drsl_cuda._C: find torch, find CUDA, glob the sources.

What is built is decided by the environment:

    DRSL_CUDA        auto (default: CUDA kernels if there is a toolkit), on or off; FORCE_CUDA=1 means on
    DRSL_CUDA_ARCHS  GPU architectures, "80;90;100" or "8.0;9.0+PTX"; or TORCH_CUDA_ARCH_LIST
    CUDA_HOME, MAX_JOBS, CC, CXX  as for any torch extension

The library uses LibTorch's stable ABI and links no CUDA library of torch, so one build serves every
torch from 2.10 on, with or without CUDA. Everything about the project itself is in pyproject.toml.
"""

import os
import re
import shutil
import sys
from pathlib import Path

from setuptools import Extension, setup

try:
    import torch
    import torch.utils.cpp_extension as torch_build
except ImportError:
    sys.exit(
        "drsl_cuda compiles against the torch it will run with: install torch 2.10 or later, "
        "then run pip install --no-build-isolation ."
    )

ROOT = Path(__file__).resolve().parent
STABLE_ABI = "0x020a000000000000"  # of torch 2.10
DEFAULT_ARCHS = "80;90;100"


def find_sources(folder, pattern):
    """Paths relative to this file's folder, in an order that does not depend on the machine."""
    return sorted(str(path) for path in Path("csrc", folder).glob(pattern))


def find_toolkit():
    """A toolkit is a folder with the compiler and the headers: an nvcc on PATH may be a wrapper."""
    nvcc = shutil.which("nvcc")
    beside_nvcc = nvcc and Path(nvcc).resolve().parents[1]
    environment = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH")]
    for folder in filter(None, [*environment, "/usr/local/cuda", beside_nvcc]):
        if Path(folder, "bin/nvcc").exists() and Path(folder, "include/cuda_runtime.h").exists():
            return Path(folder)
    return None


def choose_toolkit():
    """The toolkit to build CUDA kernels with, or None for a build without them."""
    forced = os.environ.get("FORCE_CUDA") == "1"
    mode = os.environ.get("DRSL_CUDA", "on" if forced else "auto")
    if mode not in ("auto", "on", "off"):
        sys.exit(f"DRSL_CUDA must be auto, on or off, not {mode!r}.")
    toolkit = find_toolkit() if mode != "off" else None
    if mode == "on" and toolkit is None:
        sys.exit(
            "CUDA kernels were asked for, but no CUDA toolkit was found: set CUDA_HOME to a folder "
            "with bin/nvcc and include/cuda_runtime.h, or DRSL_CUDA=off to build without them."
        )
    return toolkit


def choose_archs():
    """[("80", False), ("90", True)]: number of an architecture, and whether its PTX is kept too."""
    wanted = os.environ.get("DRSL_CUDA_ARCHS") or os.environ.get("TORCH_CUDA_ARCH_LIST")
    archs = []
    for name in filter(None, re.split(r"[;,\s]+", wanted or DEFAULT_ARCHS)):
        match = re.fullmatch(r"(\d+)\.?(\d[af]?)(\+PTX)?", name)
        if not match:
            sys.exit(f"GPU architectures look like 80;90 or 8.0;9.0+PTX, not {name!r}.")
        archs.append((match[1] + match[2], match[3] is not None))
    if not any(ptx for _, ptx in archs):
        archs[-1] = (archs[-1][0], True)  # newer GPUs compile it when they load it
    return archs


def cuda_flags(archs):
    flags = ["-O3", "-std=c++20", "-Werror", "all-warnings", "-Xfatbin", "-compress-all"]
    flags += ["-Xcompiler", "-fvisibility=hidden,-Wall"]
    for number, ptx in archs:
        flags.append(f"-gencode=arch=compute_{number},code=sm_{number}")
        if ptx:
            flags.append(f"-gencode=arch=compute_{number},code=compute_{number}")
    return flags


def extension():
    sources = find_sources("", "*.cpp")
    sources += find_sources("engine", "**/*.cpp") + find_sources("cpu", "**/*.cpp")
    # -fopenmp-simd and no -fopenmp: vectors are ours, threads are torch's (torch::stable::parallel_for).
    # -g0 and -s: Python's own flags ask for debug information, which nobody could ship.
    cxx = ["-O3", "-g0", "-std=c++20", "-fvisibility=hidden", "-fopenmp-simd"]
    cxx += ["-fno-math-errno", "-fno-trapping-math", "-Wall", "-Wextra"]
    macros = [("TORCH_TARGET_VERSION", STABLE_ABI)]
    # The headers of others are system headers: no warnings about them. torch brings pybind11 along.
    system = [torch_build.include_paths()[0]]
    build = {"libraries": ["torch_cpu"], "library_dirs": torch_build.library_paths()}
    nvcc = []
    told = "CPU only"

    kernels = find_sources("cuda", "**/*.cu")
    toolkit = choose_toolkit() if kernels else None
    if toolkit:
        archs = choose_archs()
        names = ";".join(number + "+PTX" * ptx for number, ptx in archs)
        macros += [("DRSL_WITH_CUDA", "1")]
        cxx.append(f'-DDRSL_CUDA_ARCHS="{names}"')
        nvcc = cuda_flags(archs)
        sources += kernels + find_sources("cuda", "**/*.cpp")
        system.append(str(toolkit / "include"))
        build["libraries"] += ["cudart_static", "dl", "rt", "pthread"]
        build["library_dirs"] += [str(toolkit / "lib64"), str(toolkit / "lib")]
        torch_build.CUDA_HOME = str(toolkit)  # a CPU torch sets it to None, whatever there is
        told = f"CUDA kernels for {names} with {toolkit}"
    print(f"drsl_cuda: torch {torch.__version__}, {told}", file=sys.stderr)

    isystem = [flag for folder in system for flag in ("-isystem", folder)]
    return Extension(
        "drsl_cuda._C",
        sources,
        depends=[path for kind in ("h", "cuh", "map") for path in find_sources("", f"**/*.{kind}")],
        include_dirs=[str(ROOT / "csrc")],
        define_macros=macros,
        extra_compile_args={"cxx": cxx + isystem, "nvcc": nvcc + isystem},
        extra_link_args=["-s", "-Wl,--version-script=csrc/exports.map"],
        language="c++",
        **build,
    )


class BuildExtension(torch_build.BuildExtension):
    def finalize_options(self):
        super().finalize_options()
        # One folder of objects for every way to build: pip would compile all anew in a temporary one.
        self.build_temp = f"build/temp-{sys.implementation.cache_tag}"

    def build_extensions(self):
        compiler = torch_build.get_cxx_compiler()
        if not shutil.which(compiler):
            sys.exit(
                f"drsl_cuda needs a C++20 compiler, and there is no {compiler!r}: install g++ 11 or "
                "later, or set CXX."
            )
        version = self.distribution.get_version()
        for ext in self.extensions:
            ext.extra_compile_args["cxx"].append(f'-DDRSL_VERSION="{version}"')
        try:
            super().build_extensions()
        except RuntimeError as error:  # the compiler has said why: no traceback below its words
            sys.exit(f"drsl_cuda was not built: {error}.")


setup(ext_modules=[extension()], cmdclass={"build_ext": BuildExtension})
