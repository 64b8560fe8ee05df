"""Builds drsl_cuda._C: find torch, find CUDA, glob the sources.

What is built is decided by the environment:

    DRSL_CUDA        auto (default: CUDA kernels if there is a toolkit), on or off; FORCE_CUDA=1 means on
    DRSL_CUDA_ARCHS  GPU architectures, "80;90;100" or "8.0;9.0+PTX"; or TORCH_CUDA_ARCH_LIST
    DRSL_STRICT      1: a warning in CUDA sources is an error, as by `make`; default 0
    CUDA_HOME, MAX_JOBS, CC, CXX  as for any torch extension

The library uses LibTorch's stable ABI and links no CUDA library of torch, so one build serves every
torch from 2.10 on, with or without CUDA. Everything about the project itself is in pyproject.toml.
"""

import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup

try:
    import pybind11
    import torch
    import torch.utils.cpp_extension as torch_build
except ImportError as error:
    sys.exit(
        f"drsl_cuda compiles against the torch it will run with ({error}): pip install torch "
        "pybind11, then pip install --no-build-isolation ."
    )

ROOT = Path(__file__).resolve().parent
STABLE_ABI = "0x020a000000000000"  # of torch 2.10
DEFAULT_ARCHS = "80;90;100"
SHORT_PATHS = f"-ffile-prefix-map={ROOT}/="  # error messages say csrc/..., wherever it was built

# torch looks for ninja on PATH, pip installs it beside a Python that need not be there.
os.environ["PATH"] += os.pathsep + str(Path(sys.executable).parent)


def find_sources(pattern):
    """Relative paths, as setuptools wants them, in an order that does not depend on the machine."""
    return sorted(str(path.relative_to(ROOT)) for path in (ROOT / "csrc").glob(pattern))


def find_toolkit():
    """A toolkit is a folder with the compiler and the headers: an nvcc on PATH may be a wrapper."""
    named = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    nvcc = shutil.which("nvcc")
    usual = ["/usr/local/cuda", *([Path(nvcc).resolve().parents[1]] if nvcc else [])]
    for folder in [named] if named else usual:
        if Path(folder, "bin/nvcc").exists() and Path(folder, "include/cuda_runtime.h").exists():
            return Path(folder)
    return None


def cuda_version(toolkit):
    header = (toolkit / "include/cuda_runtime_api.h").read_text()
    number = int(re.search(r"#define CUDART_VERSION +(\d+)", header)[1])
    return f"{number // 1000}.{number % 1000 // 10}"


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


def compiler_accepts(flag):
    compiler = shlex.split(os.environ.get("CXX", "c++"))
    command = [*compiler, flag, "-x", "c++", "-S", os.devnull, "-o", os.devnull]
    return subprocess.run(command, capture_output=True).returncode == 0


def cpu_extension():
    """The whole library without its CUDA kernels."""
    # -fopenmp-simd, not -fopenmp: vectors are ours, threads are torch's (torch::stable::parallel_for).
    # -g0 and -s: Python's own flags ask for debug information, which nobody could ship.
    # Headers of others are system headers: no warnings about them. pybind11 comes first: the copy
    # within torch refuses to be used beside the stable ABI.
    system = ["-isystem", pybind11.get_include(), "-isystem", torch_build.include_paths()[0]]
    cxx = ["-O3", "-g0", "-std=c++20", "-fvisibility=hidden", "-fopenmp-simd"]
    cxx += ["-fno-math-errno", "-fno-trapping-math", "-Wall", "-Wextra", "-Wno-psabi"]
    cxx.append("-Wno-unknown-pragmas")  # headers of kernels hold nvcc's
    cxx.append(SHORT_PATHS)
    if platform.machine() in ("x86_64", "AMD64"):  # clones for AVX-512 would use half of a register
        cxx.append("-mprefer-vector-width=512")
        # Searches in lanes read from many places at once; tuned for no CPU, g++ has no instruction for it.
        gathers = "-mtune-ctrl=use_gather,use_gather_4parts,use_gather_2parts"
        if compiler_accepts(gathers):
            cxx.append(gathers)
    return Extension(
        "drsl_cuda._C",
        [*find_sources("*.cpp"), *find_sources("engine/**/*.cpp"), *find_sources("cpu/**/*.cpp")],
        depends=[path for kind in ("h", "cuh", "map") for path in find_sources(f"**/*.{kind}")],
        include_dirs=[str(ROOT / "csrc")],
        define_macros=[("TORCH_TARGET_VERSION", STABLE_ABI)],
        extra_compile_args={"cxx": cxx + system, "nvcc": system},
        extra_link_args=["-s", "-Wl,--version-script=csrc/exports.map"],
        libraries=["torch_cpu"],
        library_dirs=torch_build.library_paths(),
        language="c++",
    )


def add_cuda(ext, toolkit, archs):
    # A CPU torch says None to both, whatever there is: it would compile no kernel without the one,
    # and without the other not compile it again when a header changes.
    torch_build.CUDA_HOME = str(toolkit)
    torch.version.cuda = torch.version.cuda or cuda_version(toolkit)
    ext.sources += find_sources("cuda/**/*.cpp") + find_sources("cuda/**/*.cu")
    ext.define_macros.append(("DRSL_WITH_CUDA", "1"))
    ext.libraries += ["cudart_static", "dl", "rt", "pthread"]
    ext.library_dirs += [str(toolkit / "lib64"), str(toolkit / "lib")]
    ext.extra_compile_args["cxx"] += ["-isystem", str(toolkit / "include")]
    nvcc = ext.extra_compile_args["nvcc"]
    nvcc += ["-O3", "-std=c++20", "-Xfatbin", "-compress-all"]
    if os.environ.get("DRSL_STRICT") == "1":
        nvcc += ["-Werror", "all-warnings"]  # of the C++ compiler too
    nvcc += ["-Xcompiler", f"-fvisibility=hidden,-Wall,{SHORT_PATHS}"]
    for number, ptx in archs:
        nvcc.append(f"-gencode=arch=compute_{number},code=sm_{number}")
        if ptx:
            nvcc.append(f"-gencode=arch=compute_{number},code=compute_{number}")


def extension():
    ext = cpu_extension()
    toolkit = choose_toolkit()
    archs = choose_archs() if toolkit and find_sources("cuda/**/*.cu") else []
    if archs:
        add_cuda(ext, toolkit, archs)
    names = ";".join(number + "+PTX" * ptx for number, ptx in archs)
    # Told to the C++ compiler only, or nvcc would compile every kernel again for a new version.
    ext.extra_compile_args["cxx"].append(f'-DDRSL_CUDA_ARCHS="{names}"')
    told = "CPU only, there are no kernels in csrc/cuda" if toolkit else "CPU only"
    if archs:
        told = f"CUDA kernels for {names} with {toolkit}"
    print(f"drsl_cuda: torch {torch.__version__}, {told}", file=sys.stderr)
    return ext


class BuildExtension(torch_build.BuildExtension):
    def finalize_options(self):
        super().finalize_options()
        # One folder of objects for every way to build: pip would compile anew in a temporary one.
        # Another without kernels: what both compile differs in a macro, and neither undoes the other.
        without = (
            "" if any(s.endswith(".cu") for e in self.extensions for s in e.sources) else "-cpu"
        )
        self.build_temp = f"build/temp-{sys.implementation.cache_tag}{without}"

    def build_extensions(self):
        compiler = torch_build.get_cxx_compiler()
        if not shutil.which(compiler.split()[0]):
            sys.exit(
                f"drsl_cuda needs a C++20 compiler, and there is no {compiler!r}: "
                "install g++ 11 or later, or set CXX."
            )
        version = self.distribution.get_version()
        for ext in self.extensions:
            ext.extra_compile_args["cxx"].append(f'-DDRSL_VERSION="{version}"')
        try:
            super().build_extensions()
        except RuntimeError as error:  # the compiler has said why: no traceback below its words
            sys.exit(f"drsl_cuda was not built: {error.args[0] % error.args[1:]}")


setup(ext_modules=[extension()], cmdclass={"build_ext": BuildExtension})
