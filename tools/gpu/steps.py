"""What `make gpu` does, step by step: names, shares of the time, and the programs behind them."""

import json
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
    """The environment of every program that is called: drsl_cuda is the one of this tree."""
    return {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


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
    settings = {"DRSL_CUDA": "on", "DRSL_CUDA_ARCHS": facts["gpu"]["arch"]}
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
    out = work.folder / "benchmark.json"
    budget = max(5, work.left() - 10)
    command = [sys.executable, "bench/gpu.py", f"--budget={budget:.0f}", f"--out={out}"]
    status = work.call(command, "benchmark.log")
    if not out.exists():
        log = (work.folder / "benchmark.log").read_text(errors="replace")
        return Outcome(FAILED, f"no results: {error_in(log)}")
    cases = json.loads(out.read_text())["cases"]
    wrong = [case["name"] for case in cases if case["state"] == "wrong"]
    failed = [case["name"] for case in cases if case["state"] == "failed"]
    measured = sum(case["state"] == "measured" for case in cases)
    told = f"{measured} of {len(cases)} cases measured"
    told += f"; wrong: {', '.join(wrong)}" if wrong else ""
    told += f"; failed: {', '.join(failed)}" if failed else ""
    return Outcome(FAILED if wrong or failed or status else PASSED, told)


def scores(work):
    out = work.folder / "scores.json"
    command = [sys.executable, "bench/against_sort.py", "--seconds=1", f"--out={out}"]
    status = work.call(command, "scores.log")
    lines = (work.folder / "scores.log").read_text(errors="replace").splitlines()
    told = next((line for line in lines if line.startswith("aim:")), error_in("\n".join(lines)))
    return Outcome(FAILED if status or not out.exists() else PASSED, told)


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
        Step("benchmark", 80, benchmark),
        Step("losses on scores", 20, scores),
        suite("other tests", 40, rest, max(1, cpus // 2), optional=True),
    ]
