"""What rows are made of: environments, builds, and the question whether a package works."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import traceback
from datetime import date
from pathlib import Path

TOOLS = ("numpy", "pytest", "hypothesis", "setuptools", "wheel", "build", "pybind11", "ninja")
TESTS = ("drsl", "losses", "scores", "scores_torch", "torch", "compile", "metrics", "module")

CASES = 4  # of each test function


class NotHere(Exception):
    """What the row is about is not on this machine, and cannot be had."""


class Failed(Exception):
    """One line that says what failed."""


class Bench:
    def __init__(self, root, folder, library=None, wheel=None, cheap=False):
        self.root, self.folder = root, folder
        self.given, self.wheel = library, wheel and wheel.resolve()
        self.as_it_is = cheap  # the environment that this runs in is the one that rows take
        self.kept = folder / "results.json"
        self.results = self.known()
        self.log = self.here = None

    def known(self):
        return json.loads(self.kept.read_text()) if self.kept.exists() else {}

    def run(self, row):
        """The result of a row, kept. `here` is a folder of its own, gone when it has passed."""
        (self.folder / "logs").mkdir(parents=True, exist_ok=True)
        name = re.sub(r"[^\w.+-]+", "_", row.name)
        path = self.folder / "logs" / f"{name}.log"
        self.here = self.folder / "rows" / name
        shutil.rmtree(self.here, ignore_errors=True)
        self.here.mkdir(parents=True)
        self.lay_out_tests()
        start = time.monotonic()
        with path.open("w") as self.log:
            try:
                result, told = "passes", row.work(self)
            except NotHere as error:
                result, told = "not here", str(error)
            except Failed as error:
                result, told = "fails", str(error)
            except Exception as error:  # a row's own fault must not end the others
                traceback.print_exc(file=self.log)
                result, told = "fails", f"{type(error).__name__}: {error}"
        found = {"result": result, "told": told, "seconds": time.monotonic() - start}
        if result == "passes":
            shutil.rmtree(self.here, ignore_errors=True)
        self.results = self.known()  # another process may run other rows
        self.results[row.name] = found | {"date": date.today().isoformat()}
        beside = self.kept.with_suffix(".part")
        beside.write_text(json.dumps(self.results, indent=1))
        beside.replace(self.kept)
        return found

    def call(self, command, *, cwd=None, timeout=3600, env=None, **more):
        """What a command printed; Failed with its last line of sense if it did not succeed."""
        command = [str(part) for part in command]
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "DRSL"))}
        environment |= {"CCACHE_DIR": str(self.folder / "ccache"), "CCACHE_BASEDIR": "/",
                        "CCACHE_NOHASHDIR": "1", "MAX_JOBS": "2"} | more | (env or {})  # fmt: skip
        print(f"\n$ {' '.join(command)}", file=self.log, flush=True)
        try:
            done = subprocess.run(
                command, cwd=cwd or self.here, env=environment, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, timeout=timeout, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise Failed(f"took more than {timeout} s: {' '.join(command[:4])}") from error
        print(done.stdout, file=self.log, flush=True)
        if done.returncode:
            raise Failed(what_it_said(done.stdout) or f"status {done.returncode}: {command[0]}")
        return done.stdout

    def interpreter(self, version):
        """Path of Python `version`."""
        if sys.version_info[:2] == tuple(map(int, version.split("."))):
            return Path(sys._base_executable)
        names = [shutil.which(f"python{version}")]
        names += sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
        for name in filter(None, names):
            asked = [name, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
            done = subprocess.run(asked, capture_output=True, text=True)
            if done.returncode == 0 and done.stdout.strip() == version:
                return Path(name)
        raise NotHere(f"no Python {version} on this machine")

    def environment(self, python, torch):
        """Python of an environment with `torch` (a version, "2.12" for the last of these, or "newest")."""
        if self.as_it_is:
            return Path(sys.executable)
        folder = self.folder / f"env-py{python}-torch{torch}"
        inside = folder / "bin/python"
        if (folder / ".complete").exists():
            return inside
        shutil.rmtree(folder, ignore_errors=True)
        wanted = "torch" if torch == "newest" else f"torch=={torch}.*"
        interpreter = self.interpreter(python)
        if uv := shutil.which("uv"):
            self.call([uv, "venv", "--seed", "--python", interpreter, folder])
            self.call([uv, "pip", "install", "--python", inside, wanted, *TOOLS])
        else:
            self.call([interpreter, "-m", "venv", folder])
            self.call([inside, "-m", "pip", "install", "--quiet", wanted, *TOOLS])
        (folder / ".complete").touch()
        return inside

    def library_package(self, python):
        """A folder that holds the package with the library that was handed in, and nothing else."""
        found = [self.given] if self.given else sorted(self.root.glob("drsl_cuda/_C*.so"))
        if not found:
            raise NotHere("no library in drsl_cuda/: make build")
        site = self.here / "library"
        shutil.rmtree(site, ignore_errors=True)
        shutil.copytree(self.root / "drsl_cuda", site / "drsl_cuda",
                        ignore=shutil.ignore_patterns("*.so", "__pycache__"))  # fmt: skip
        shutil.copy(found[-1], site / "drsl_cuda")
        tag = re.search(r"cpython-3(\d+)", found[-1].name)
        if tag and tag[1] != python.split(".")[1]:
            raise NotHere(f"the library is for Python 3.{tag[1]}")
        return site

    def sources(self, name):
        """A copy of what git tracks, without anything that was built."""
        target = self.here / name
        shutil.rmtree(target, ignore_errors=True)
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=self.root, capture_output=True, text=True,
                                check=True)  # fmt: skip
        for path in filter(None, listed.stdout.split("\0")):
            if (self.root / path).is_file():
                (target / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(self.root / path, target / path)
        return target

    def build_wheel(self, python, sources, compiler="g++"):
        """The wheel of a CPU-only build."""
        made = sources / "made"
        shutil.rmtree(made, ignore_errors=True)
        plain = compiler.replace("clang++", "clang").replace("g++", "gcc")  # Python links with it
        self.call(
            [python, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", made, "."],
            cwd=sources, DRSL_CUDA="off", CXX=compiler, CC=plain,
        )  # fmt: skip
        return next(made.glob("*.whl"))

    def unpacked(self, python, wheel, name):
        site = self.here / name
        shutil.rmtree(site, ignore_errors=True)
        self.call([python, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site, wheel])
        return site

    def lay_out_tests(self):
        """The tests as they are when the row begins, like the sources: a row may take long."""
        far = self.here / "far"
        shutil.copytree(
            self.root / "tests", far / "tests", ignore=shutil.ignore_patterns("__pycache__")
        )
        shutil.copy(self.root / "pyproject.toml", far)
        shutil.copy(self.root / "tools/few_tests.py", far)

    def works(self, python, site, tests=TESTS):
        """Import, self-check and tests of the package in `site`, from a folder far from the sources."""
        far = self.here / "far"
        there = {
            "cwd": far,
            "PYTHONPATH": str(far),
            "DRSL_CASES_EACH": str(CASES),
            "OMP_WAIT_POLICY": "passive",
        }
        if site:
            there |= {"PYTHONPATH": f"{site}:{far}", "PYTHONDONTWRITEBYTECODE": "1"}
        where = self.call([python, "-c", "import drsl_cuda; print(drsl_cuda.__file__)"], **there)
        if site and not where.strip().startswith(str(site)):
            raise Failed(f"imported {where.strip()}, not the one in {site.name}")
        self.call([python, "-m", "drsl_cuda", "--no-timing"], **there)
        if not tests:
            return "self-check"
        files = [
            f"tests/test_{name}.py" for name in tests if (far / f"tests/test_{name}.py").exists()
        ]
        said = self.call([python, "-m", "pytest", "-q", "-m", "not slow", "-p", "few_tests",
                          "-p", "no:cacheprovider", *files],
                         **there)  # fmt: skip
        return re.findall(r"(\d+ passed)", said)[-1]

    def version(self, python, module="torch"):
        return self.call([python, "-c", f"import {module}; print({module}.__version__)"]).split()[
            -1
        ]


def what_it_said(text):
    """The line of an output that says best why it failed."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for pattern in (r"^\d+ failed", r"^FAILED ", r"\berror: ", r"^ERROR", r"Error: "):
        for line in reversed(lines):
            if re.search(pattern, line):
                return line[:200]
    return lines[-1][:200] if lines else ""
