"""Builds the CPU library once more, for sanitizers and the fuzzer: csrc without csrc/cuda.

Usage: python tools/build_cpu.py address|thread|fuzzer

Tests run on it where DRSL_CPU_VARIANT names it (tests/conftest.py); the fuzzer is
tools/fuzz_operators.py. No part of the package. Compiles what changed, into build/cpu-VARIANT/, with
functions for one instruction set only: what is looked for does not depend on it.
"""

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from build_host import ROOT, STABLE_ABI, run_ninja, torch_flags

# Those of setup.py without optimization: what is looked for is the same, and the largest file compiles in
# a tenth of the time.
COMMON = ["-std=c++20", "-fPIC", "-fvisibility=hidden", "-fopenmp-simd", "-fno-math-errno"]
COMMON += ["-fno-trapping-math", "-Wall", "-Wextra", "-Wno-psabi", "-Wno-unknown-pragmas"]
COMMON += ["-O0", "-g1", "-fno-omit-frame-pointer"]

# Undefined behaviour, but for what AddressSanitizer sees as well.
UNDEFINED = ["-fsanitize=undefined,float-cast-overflow", "-fno-sanitize=null,object-size,vptr"]
UNDEFINED += ["-fno-sanitize-recover=all"]
# name → compiler, flags, and what its library is linked with
VARIANTS = {
    "address": (
        "g++",
        ["-fsanitize=address,bounds-strict", *UNDEFINED],
        [],
    ),
    # Threads of its own in place of torch's OpenMP, whose barriers the sanitizer does not see.
    "thread": (
        "g++",
        ["-fsanitize=thread", "-DDRSL_OWN_THREADS"],
        [],
    ),
    # libFuzzer is in the library itself: its counters must find it before those of the sanitizer.
    "fuzzer": (
        "clang++",
        [
            "-fsanitize=fuzzer-no-link,address",
            "-shared-libsan",
            "-O1",  # it calls so often that running takes longer than compiling
            "-Wno-pass-failed",
            *UNDEFINED,
            "-fno-sanitize=function",
        ],
        [
            "-Wl,-Bsymbolic,--whole-archive",
            "libclang_rt.fuzzer_no_main-x86_64.a",
            "-Wl,--no-whole-archive",
        ],
    ),
}

RULES = """\
rule object
  command = {cxx} {flags} -MMD -MF $out.d -c $in -o $out
  deps = gcc
  depfile = $out.d
  description = cpu: $in
rule shared
  command = {cxx} {flags} -shared $in -o $out {libraries}
"""


def library_name():
    return f"_C{sysconfig.get_config_var('EXT_SUFFIX')}"


def compiler(name):
    """Where it is: Debian's clang++ has its version in its name."""
    names = [name, *(f"{name}-{version}" for version in range(30, 13, -1))]
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        raise RuntimeError(f"{name} is needed, and there is none")
    return found


def runtime(cxx, name):
    """The path of a library that comes with the compiler."""
    command = [cxx, f"-print-file-name={name}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def ninja_file(variant):
    import pybind11

    default, flags, linked = VARIANTS[variant]
    cxx = compiler(default)
    linked = [runtime(cxx, name) if name.endswith(".a") else name for name in linked]
    includes, libraries = torch_flags()
    flags = [*COMMON, *flags, "-DDRSL_NO_CLONES"]
    flags += [
        f"-DTORCH_TARGET_VERSION={STABLE_ABI}",
        f"-I{ROOT}/csrc",
        "-isystem",
        sysconfig.get_path("include"),
    ]
    flags += ["-isystem", pybind11.get_include(), *includes]
    version = re.search(r'^version = "(.*?)"', (ROOT / "pyproject.toml").read_text(), re.M)[1]
    flags += [f"'-DDRSL_VERSION=\"{version}\"'", "'-DDRSL_CUDA_ARCHS=\"\"'"]
    lines = [
        RULES.format(cxx=cxx, flags=" ".join(flags), libraries=" ".join([*linked, *libraries]))
    ]
    sources = [
        path
        for part in (".", "engine", "cpu")
        for path in sorted((ROOT / "csrc" / part).glob("*.cpp"))
    ]
    for source in sources:
        lines.append(f"build {source.relative_to(ROOT)}.o: object {source}")
    objects = " ".join(f"{source.relative_to(ROOT)}.o" for source in sources)
    lines.append(f"build {library_name()}: shared {objects}")
    return "\n".join(lines) + "\n"


def build(variant):
    """The path of the library."""
    folder = ROOT / f"build/cpu-{variant}"
    run_ninja(folder, ninja_file(variant), library_name(), f"with the {variant} sanitizer")
    return folder / library_name()


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in VARIANTS:
        sys.exit(f"usage: python tools/build_cpu.py {'|'.join(VARIANTS)}")
    try:
        print(build(sys.argv[1]))
    except RuntimeError as error:
        sys.exit(str(error))
