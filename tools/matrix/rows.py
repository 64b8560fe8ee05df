"""The rows of the matrix: what is the same, and what differs from row to row."""

import re
import shutil
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from work import Failed, NotHere

PYTHON = "3.11"  # of rows that are not about Python
TORCH = "2.13"  # of rows that are not about torch: the one that development uses
TORCHES = ("2.10", "2.11", "2.12", "2.13", "2.14", "newest")
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
COMPILERS = ("g++-11", "g++-12", "g++-13", "g++-14", "clang++-14", "clang++-16", "clang++-19")
FEW = ("drsl", "scores", "metrics")


class Row(NamedTuple):
    group: str
    what: str
    work: Callable  # Bench -> what to tell
    cheap: bool = False  # needs a wheel, and seconds

    @property
    def name(self):
        return f"{self.group}: {self.what}"


def all_rows():
    rows = [Row("same library, torch", v, partial(on_torch, torch=v)) for v in TORCHES]
    rows += [Row("built for Python", v, partial(on_python, python=v)) for v in PYTHONS]
    rows += [Row("compiled by", c, partial(by_compiler, compiler=c)) for c in COMPILERS]
    return rows + [
        Row("kernels", "CUDA kernels in it, torch without CUDA", with_kernels),
        Row("kernels", "CUDA kernels in it, torch with CUDA, no GPU", with_cuda_torch),
        Row("kernels", "CUDA asked for, no toolkit", no_toolkit, True),
        Row("install", "path with spaces and ü", spaces),
        Row("install", "sdist, wheel, import elsewhere", sdist),
        Row("install", "editable, then uninstalled", editable),
        Row("install", "uninstalled: nothing is left", uninstalled, True),
        Row("install", "installed twice", twice, True),
    ]


def on_torch(bench, torch):
    python = bench.environment(PYTHON, torch)
    site = bench.library_package(PYTHON)
    version = bench.version(python)
    return f"torch {version}: {bench.works(python, site)}"


def on_python(bench, python):
    inside = bench.environment(python, TORCH)
    wheel = bench.build_wheel(inside, bench.sources("sources"))
    site = bench.unpacked(inside, wheel, "site")
    full = bench.call([inside, "-c", "import platform; print(platform.python_version())"]).split()[
        -1
    ]
    return f"Python {full}, torch {bench.version(inside)}: {bench.works(inside, site)}"


def by_compiler(bench, compiler):
    if not shutil.which(compiler):
        raise NotHere(f"no {compiler} on this machine")
    version = bench.call([compiler, "--version"]).splitlines()[0]
    python = bench.environment(PYTHON, TORCH)
    wheel = bench.build_wheel(python, bench.sources("sources"), compiler)
    site = bench.unpacked(python, wheel, "site")
    return f"{re.sub(' *[(].*?[)]', '', version)}: {bench.works(python, site, FEW)}"


def kernels_of(bench, python, site):
    """Whether there is a GPU, and for which GPUs the library has kernels."""
    asked = "import torch, drsl_cuda as d; print(torch.cuda.is_available(), d.build_info()['cuda_archs'])"
    return bench.call([python, "-c", asked], PYTHONPATH=str(site)).splitlines()[-1].split(" ")


def with_kernels(bench, torch=TORCH, wanted=False):
    python = bench.environment(PYTHON, torch)
    site = bench.library_package(PYTHON)
    gpu, archs = kernels_of(bench, python, site)
    if gpu == "True":
        raise NotHere("this machine has a GPU")
    if not archs:
        raise NotHere("the library has no CUDA kernels: build it with a toolkit")
    version = bench.version(python)
    if ("+cpu" not in version) != wanted:
        raise NotHere(f"the torch to be had here is {version}")
    return f"torch {version}: {bench.works(python, site, FEW)}"


def with_cuda_torch(bench):
    return with_kernels(bench, "newest", True)


def no_toolkit(bench):
    """An error that says what to do."""
    python = bench.environment(PYTHON, TORCH)
    folder = bench.sources("sources")
    try:
        bench.call(
            [python, "setup.py", "build_ext"], cwd=folder, DRSL_CUDA="on", CUDA_HOME="/nowhere"
        )
    except Failed as error:
        if "no CUDA toolkit was found" in str(error):
            return "says that there is no toolkit, and what to set"
        raise Failed(f"another error than that there is no toolkit: {error}") from error
    raise Failed("built without a toolkit though CUDA was asked for")


def spaces(bench):
    python = bench.environment(PYTHON, TORCH)
    sources = bench.sources("a folder, with spaces and ü/drsl cuda")
    wheel = bench.build_wheel(python, sources)
    site = bench.unpacked(python, wheel, "a folder, with spaces and ü/site packages")
    return bench.works(python, site, FEW)


def sdist(bench):
    python = bench.environment(PYTHON, TORCH)
    sources = bench.sources("sources")
    bench.call([python, "-m", "build", "--sdist", "--no-isolation", "-o", sources / "made"], cwd=sources,
               DRSL_CUDA="off")  # fmt: skip
    archive = next((sources / "made").glob("*.tar.gz"))
    extracted = bench.here / "sdist"
    shutil.unpack_archive(archive, extracted)
    wheel = bench.build_wheel(python, next(extracted.iterdir()))
    kept = bench.folder / "wheels"
    kept.mkdir(exist_ok=True)
    shutil.copy(wheel, kept)
    return bench.works(python, bench.unpacked(python, wheel, "site"))


def the_wheel(bench):
    found = [bench.wheel] if bench.wheel else sorted((bench.folder / "wheels").glob("*.whl"))
    if not found:
        raise Failed("no wheel: the row of the sdist has made none")
    return found[-1]


def throwaway(bench):
    """An environment of its own that sees the packages of the usual one."""
    python = bench.environment(PYTHON, TORCH)
    folder = bench.here / "env"
    base = bench.call([python, "-c", "import sys; print(sys._base_executable)"]).strip()
    bench.call([base, "-m", "venv", folder])
    site = next(folder.glob("lib/python*/site-packages"))
    seen = next((python.parent.parent / "lib").glob("python*/site-packages"))
    if (site / "setuptools").exists():  # of old Pythons' venv, and older than what we need
        bench.call([folder / "bin/python", "-m", "pip", "uninstall", "--yes", "setuptools"])
    (site / "others.pth").write_text(f"{seen}\n")
    return folder / "bin/python", folder


def files_in(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if "__pycache__" not in path.parts
            or "drsl" in str(path)}  # fmt: skip


def editable(bench):
    python, folder = throwaway(bench)
    sources = bench.sources("sources")
    before = files_in(folder)
    bench.call([python, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "-e", sources],
               DRSL_CUDA="off")  # fmt: skip
    where = bench.call([python, "-c", "import drsl_cuda; print(drsl_cuda.__file__)"]).splitlines()[
        -1
    ]
    if not where.startswith(str(sources)):
        raise Failed(f"imports {where}, not the sources")
    passed = bench.works(python, None, FEW)
    bench.call([python, "-m", "pip", "uninstall", "--yes", "drsl-cuda"])
    left = files_in(folder) - before
    if left:
        raise Failed(f"left after the uninstall: {sorted(left)[:3]}")
    return f"{passed}, nothing left"


def uninstalled(bench):
    python, folder = throwaway(bench)
    before = files_in(folder)
    bench.call([python, "-m", "pip", "install", "--no-deps", the_wheel(bench)])
    bench.works(python, None, ())
    held = files_in(folder) - before
    bench.call([python, "-m", "pip", "uninstall", "--yes", "drsl-cuda"])
    left = files_in(folder) - before
    if left or not held:
        raise Failed(
            f"left after the uninstall: {sorted(left)[:3]}" if left else "nothing installed"
        )
    return f"{len(held)} files and folders came and went"


def twice(bench):
    python, folder = throwaway(bench)
    before = files_in(folder)
    install = [python, "-m", "pip", "install", "--no-deps"]
    bench.call([*install, the_wheel(bench)])
    once = files_in(folder)
    bench.call([*install, the_wheel(bench)])
    bench.call([*install, "--force-reinstall", the_wheel(bench)])
    if files_in(folder) ^ once:
        raise Failed(f"differs after the second time: {sorted(files_in(folder) ^ once)[:3]}")
    return f"the same {len(once - before)} files and folders, {bench.works(python, None, ())}"
