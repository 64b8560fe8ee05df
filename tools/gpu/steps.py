"""What `make gpu` does, step by step: names, shares of the time, and the programs behind them."""

import json
import os
import re
import sys
from functools import partial
from pathlib import Path

from runner import FAILED, PASSED, Outcome, Step, slug
from sanitizer import sanitize
from suite import run_tests

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 470  # of a run: ten less than eight minutes
BY_GRADIENT = ("tests/test_gradients.py", "tests/test_torch.py")


def paths_of_python():
    """The environment of every program that is called: drsl_cuda is the one of this tree, before
    whatever packages PYTHONPATH leads to."""
    paths = filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])
    return {"PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}


def describe(work, facts):
    (work.folder / "environment.json").write_text(json.dumps(facts, indent=2))
    gpu, packages = facts["gpu"], facts["packages"]
    status = work.call(["nvidia-smi", "-q"], "nvidia-smi.log") if facts["nvidia_smi"] else 1
    missing = [name for name, version in packages.items() if version is None]
    told = f"{gpu['name']}, sm_{gpu['arch']}, torch {packages['torch']}"
    told += f", {facts['nvcc'] or 'no nvcc'}"
    told += "" if status == 0 else ", nvidia-smi tells nothing"
    return Outcome(PASSED, told + (f"; missing: {', '.join(missing)}" if missing else ""))


def build(work, facts):
    packages = facts["packages"]
    if facts["nvcc"] is None:
        return Outcome(FAILED, "there is no nvcc: set CUDA_HOME to a CUDA toolkit")
    for name in ("pybind11", "setuptools"):
        if packages[name] is None:
            return Outcome(FAILED, f"{sys.executable} has no {name}, which the build needs")
    if int(packages["setuptools"].split(".")[0]) < 77:
        return Outcome(FAILED, f"setuptools {packages['setuptools']} is older than 77")
    # Warnings of a compiler that was never tried are no reason not to measure.
    settings = {"DRSL_CUDA": "on", "DRSL_CUDA_ARCHS": facts["gpu"]["arch"], "DRSL_STRICT": "0"}
    command = [sys.executable, "setup.py", "build_ext", "--inplace"]
    status = work.call(command, "build.log", settings)
    if status != 0:
        return Outcome(FAILED, error_in((work.folder / "build.log").read_text(errors="replace")))
    serial = "" if packages["ninja"] else ", one file at a time: there is no ninja"
    return Outcome(PASSED, f"sm_{facts['gpu']['arch']}{serial}")


def error_in(log):
    """The first line that looks like one, else the last."""
    lines = [line.strip() for line in log.splitlines() if line.strip()] or ["it said nothing"]
    return next((line for line in lines if re.search(r"\berror\b", line, re.I)), lines[-1])[:160]


def self_check(work):
    status = work.call([sys.executable, "-m", "drsl_cuda", "--no-timing"], "self-check.log")
    log = (work.folder / "self-check.log").read_text(errors="replace")
    worst = [line.strip() for line in log.splitlines() if line.endswith("WRONG")]
    if status == 0:
        return Outcome(PASSED, "the loss agrees with the reference")
    return Outcome(FAILED, "; ".join(worst) or error_in(log))


def benchmark(work):
    """All cases, on whatever contenders are there; results.json, report.md and plots into the folder."""
    minutes = max(5, work.left() - 15) / 60
    command = [sys.executable, "-m", "bench", "--device=cuda", f"--budget={minutes:.3f}"]
    command += ["--seconds=0.3", "--patience=20", f"--out={work.folder}"]
    status = work.call(command, "benchmark.log")
    out = [work.folder / name for name in ("results.json", "results.part.json")]
    out = next(filter(Path.exists, out), None)
    if out is None:
        log = (work.folder / "benchmark.log").read_text(errors="replace")
        return Outcome(FAILED, f"no results: {error_in(log)}")
    return judged(json.loads(out.read_text())["rows"], status)


def judged(rows, status):
    """What a table has room for: ours, and whatever is wrong."""
    ours = [row for row in rows if row["contender"] == "ours"]
    measured = sum(row["state"] == "measured" for row in ours)
    told = f"ours measured in {measured} of {len(ours)} cases and losses"
    for state in ("wrong", "failed", "died", "out of memory", "timed out"):
        bad = rows if state == "wrong" else ours
        named = [f"{row['case']} {row['loss']}" for row in bad if row["state"] == state]
        told += f"; {state}: {', '.join(named)}" if named else ""
    return Outcome(FAILED if status else PASSED, told)


def with_pytest(facts, run, work):
    for name in ("pytest", "hypothesis", "numpy"):
        if facts["packages"][name] is None:
            return Outcome(FAILED, f"{sys.executable} has no {name}, which the tests need")
    return run(work)


def all_steps(facts):
    cpus = facts["cpus"]
    tests = partial(run_tests, cpus=cpus, environment=paths_of_python())
    few = min(8, max(1, cpus // 2))  # processes that share the GPU
    on_gpu = ["-m", "cuda", "tests"]
    on_gpu += [f"--ignore={path}" for path in BY_GRADIENT]
    by_gradient = ["-m", "cuda", *BY_GRADIENT]
    rest = ["-m", "not cuda", "tests"]

    def suite(name, share, arguments, shards, **more):
        run = partial(tests, name=slug(name), arguments=arguments, shards=shards, **more)
        return Step(name, share, partial(with_pytest, facts, run))

    return [
        Step("environment", 15, partial(describe, facts=facts)),
        Step("build", 110, partial(build, facts=facts)),
        Step("self-check", 20, self_check),
        suite("tests on the GPU", 90, on_gpu, few),
        suite("gradcheck and opcheck", 35, by_gradient, few),
        Step("sanitizer", 60, partial(sanitize, environment=paths_of_python())),
        Step("benchmark", 100, benchmark),
        suite("other tests", 40, rest, max(1, cpus // 2), optional=True),
    ]
