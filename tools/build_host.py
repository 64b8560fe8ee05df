"""Builds what runs the CUDA kernels without a GPU: all of csrc/cuda, by the C++ compiler, on host threads.

Usage: python tools/build_host.py [plain|sanitized|coverage] [library|emulator_test]

The library registers the operators as torch.ops.drsl_host.*, for tensors on the CPU. It is for tests
only (tests/host, tests/on_host_threads.py) and no part of the package. Compiles what changed, into
build/host-VARIANT/.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STABLE_ABI = "0x020a000000000000"  # of torch 2.10

VARIANTS = {
    "plain": ["-O1", "-g0"],
    # Out of bounds, overflow of indices, misaligned vectors; the first one ends the program. Without what
    # AddressSanitizer sees as well, which takes g++ a quarter of its time.
    "sanitized": [
        "-O1",
        "-g1",
        "-fno-omit-frame-pointer",
        "-fsanitize=address,undefined,bounds-strict",
        "-fno-sanitize=null,object-size,vptr",
        "-fno-sanitize-recover=all",
    ],
    "coverage": ["-O1", "-g0", "--coverage", "-fprofile-update=atomic"],
}
# A shared library of templates: nothing of it may be shared with the package's own.
COMMON = ["-std=c++20", "-fPIC", "-fvisibility=hidden", "-fno-gnu-unique", "-fno-math-errno"]
COMMON += ["-Wall", "-Wextra", "-Wno-unknown-pragmas", "-Wno-unused-parameter"]
COMMON += ["-Wno-missing-field-initializers", "-Wno-psabi"]

RULES = """\
cxx = {cxx}
flags = {flags}
torch = {torch}

rule torch_object
  command = $cxx $flags $torch -MMD -MF $out.d -x c++ -c $in -o $out
  deps = gcc
  depfile = $out.d
  description = host: $in
rule object
  command = $cxx $flags -MMD -MF $out.d -x c++ -c $in -o $out
  deps = gcc
  depfile = $out.d
  description = host: $in
rule shared
  command = $cxx $flags -shared -Wl,--no-undefined $in -o $out {libraries}
rule program
  command = $cxx $flags $in -o $out -pthread
"""


def torch_flags():
    """Where torch's headers and its library are."""
    import torch.utils.cpp_extension as torch_build

    (libraries,) = torch_build.library_paths()[:1]
    return ["-isystem", torch_build.include_paths()[0]], [f"-L{libraries}", "-ltorch_cpu"]


def library_sources():
    found = sorted((ROOT / "csrc/cuda").glob("*.cu")) + sorted((ROOT / "csrc/cuda").glob("*.cpp"))
    found = [path for path in found if path.name != "runtime.cpp"]  # tests/host has its own
    found += sorted((ROOT / "csrc/engine").glob("*.cpp"))
    return [*found, ROOT / "csrc/library.cpp", ROOT / "tests/host/runtime_on_host.cpp"]


def ninja_file(variant, folder):
    includes, libraries = torch_flags()
    flags = [*COMMON, *VARIANTS[variant], "-DDRSL_CUDA_ON_HOST", "-DDRSL_NAMESPACE=drsl_host"]
    flags += [f"-DTORCH_TARGET_VERSION={STABLE_ABI}", f"-I{ROOT}/tests/host", f"-I{ROOT}/csrc"]
    lines = [
        RULES.format(
            cxx=os.environ.get("CXX", "g++"),
            flags=" ".join(flags),
            torch=" ".join(includes),
            libraries=" ".join(libraries),
        )
    ]
    objects = []
    for source in library_sources():
        objects.append(f"{source.relative_to(ROOT)}.o")
        lines.append(f"build {objects[-1]}: torch_object {source}")
    lines.append(f"build drsl_host.so: shared {' '.join(objects)}")
    lines.append(f"build emulator_test.o: object {ROOT}/tests/host/emulator_test.cpp")
    lines.append("build emulator_test: program emulator_test.o")
    lines.append("build library: phony drsl_host.so")
    return "\n".join(lines) + "\n"


def build(variant="plain", target="library"):
    """The path of what was built."""
    folder = ROOT / f"build/host-{variant}"
    run_ninja(folder, ninja_file(variant, folder), target, "for host threads")
    return folder / ("drsl_host.so" if target == "library" else target)


def run_ninja(folder, wanted, target, what):
    """Builds `target` in the folder as the text of the ninja file says; `what` is for the message."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two ninjas in a folder undo each other's work
        _run_ninja(folder, wanted, target, what)


def _run_ninja(folder, wanted, target, what):
    file = folder / "build.ninja"
    if not file.exists() or file.read_text() != wanted:
        file.write_text(wanted)
    beside = str(Path(sys.executable).parent)  # pip installs ninja there
    ninja = shutil.which("ninja", path=os.environ["PATH"] + os.pathsep + beside)
    if ninja is None:
        raise RuntimeError(f"ninja is needed to build {target} {what}")
    jobs = os.environ.get("MAX_JOBS", str(os.cpu_count()))
    built = subprocess.run(
        [ninja, "-C", folder, "-j", jobs, "--quiet", target],
        capture_output=True,
        text=True,
        env=without_preloads(),
    )
    if built.returncode:
        raise RuntimeError(f"{target} {what} was not built:\n{built.stdout}{built.stderr}")
    if built.stdout.strip():
        print(built.stdout, file=sys.stderr)


def without_preloads():
    """Compilers need no sanitizer, even if whoever calls them runs with one."""
    return {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}


if __name__ == "__main__":
    try:
        print(build(*sys.argv[1:]))
    except RuntimeError as error:
        sys.exit(str(error))
