"""`make gpu`, as far as it goes without a GPU: its steps, and what it says of them."""

import json
import os
import subprocess
import sys
import time

import pytest

from gpu_kit import FACTS, ROOT, runner, sanitizer, sanitizer_cases, steps, verdict


def test_without_a_gpu_it_says_so_in_a_sentence():
    done = subprocess.run(
        [sys.executable, ROOT / "tools/gpu"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == 2, done.stderr
    assert "there is none to use: torch" in done.stdout


def test_results_are_copied_to_where_few_files_are_wanted(tmp_path, monkeypatch):
    folder, out = tmp_path / "a-gpu", tmp_path / "out"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number}.log").write_text("said")
    for plot in ("time.png", "time.svg", "memory.png", "memory.svg", "ratios.png", "ratios.svg"):
        (folder / plot).write_text("drawn")
    (folder / "on-the-gpu.json").write_text(json.dumps({"counts": {"passed": 3}}))
    monkeypatch.setenv("OUT", str(out))
    verdict.write(folder, FACTS, {"a": runner.Outcome("passed", "with a | in it")})
    kept = sorted(path.name for path in (out / "a-gpu").iterdir())
    assert kept == ["logs.tar.gz", "tests.json", "verdict.md"]
    assert json.loads((folder / "tests.json").read_text())["on-the-gpu"]["counts"]["passed"] == 3
    assert "All good." in (folder / "verdict.md").read_text()


def test_packages_beside_pythons_own_are_found_by_what_it_calls(monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert steps.paths_of_python()["PYTHONPATH"] == str(ROOT)
    monkeypatch.setenv("PYTHONPATH", "/tmp/site")
    assert steps.paths_of_python()["PYTHONPATH"] == f"{ROOT}:/tmp/site"


def test_the_shares_fit_and_the_steps_are_those_that_were_asked_for():
    every = steps.all_steps(FACTS)
    assert sum(step.share for step in every) <= steps.SECONDS <= 480
    assert [step.name for step in every] == [
        "environment", "build", "self-check", "tests on the GPU", "gradcheck and opcheck",
        "sanitizer", "benchmark", "other tests",
    ]  # fmt: skip
    readme = (ROOT / "bench/README.md").read_text().splitlines()
    for step in every:
        (line,) = [line for line in readme if line.startswith(f"| {step.name} |")]
        assert line.endswith(f"| {step.share} |")


@pytest.mark.parametrize(
    ("missing", "told"),
    [("nvcc", "no nvcc"), ("pybind11", "has no pybind11"), ("setuptools", "older than 77")],
)
def test_what_the_build_lacks_is_said(tmp_path, missing, told):
    packages = {"pybind11": "3.0", "setuptools": "80.1", "ninja": None}
    facts = {**FACTS, "nvcc": "V13", "packages": packages}
    if missing == "nvcc":
        facts["nvcc"] = None
    else:
        packages[missing] = "70.0" if missing == "setuptools" else None
    outcome = steps.build(runner.Work(tmp_path, time.monotonic() + 5), facts)
    assert outcome.state == "failed" and told in outcome.told


CLEAN = "case a done\ncase b done\nall cases done\n"


@pytest.mark.parametrize(
    ("status", "log", "state"),
    [
        (0, CLEAN + "========= ERROR SUMMARY: 0 errors", "passed"),
        (86, "========= Invalid __global__ write of size 4 bytes\n" + CLEAN, "failed"),
        (0, "========= Error: Race reported between Write access at\n" + CLEAN, "failed"),
        (0, "========= Error: Potential WAR hazard detected\n" + CLEAN, "failed"),
        (1, "========= Error: Device not supported\n", "skipped"),
        (1, "case a done\nTraceback\n", "failed"),
        (0, "case a done\n", "failed"),
        (None, "case a done\n", "partly"),
        (None, "", "skipped"),
    ],
)
def test_what_the_sanitizer_says_is_understood(status, log, state):
    assert sanitizer.judge(status, log)[0] == state


def test_the_sanitizer_step_runs_each_tool(tmp_path, monkeypatch):
    fake = tmp_path / "compute-sanitizer"
    fake.write_text('#!/bin/sh\necho "$@"\necho "case a done"; echo "all cases done"\n')
    fake.chmod(0o755)
    monkeypatch.setattr(sanitizer, "find_tool", lambda name: str(fake))
    outcome = sanitizer.sanitize(runner.Work(tmp_path, time.monotonic() + 200), {})
    assert outcome.state == "passed", outcome.told
    for tool in ("memcheck", "racecheck", "initcheck", "synccheck"):
        assert f"--tool {tool}" in (tmp_path / f"sanitizer-{tool}.log").read_text()


def test_the_sanitizers_cases_run():
    for case in sanitizer_cases.CASES.values():
        if case[1] <= 300:
            assert sanitizer_cases.run(*case, "cpu") is not None
    for case in sanitizer_cases.SCORES.values():
        assert sanitizer_cases.run_scores(*case, "cpu").isfinite().all()
    for case in sanitizer_cases.EVALUATIONS.values():
        assert sanitizer_cases.evaluate(*case, "cpu").isfinite().any()


ROWS = [
    {"case": "64x4x2048", "loss": "drsl", "contender": "ours", "state": "measured"},
    {"case": "64x4x2048", "loss": "triplet", "contender": "ours", "state": "failed"},
    {"case": "64x4x2048", "loss": "drsl", "contender": "reference", "state": "out of memory"},
    {"case": "64x4x2048", "loss": "drsl", "contender": "keops", "state": "wrong"},
]


def test_what_the_benchmark_left_is_summed_up():
    outcome = steps.judged(ROWS, 1)
    assert outcome.state == "failed"
    assert outcome.told == (
        "ours measured in 1 of 2 cases and losses; wrong: 64x4x2048 drsl; failed: 64x4x2048 triplet"
    )
    assert steps.judged(ROWS[:1], 0).state == "passed"


def test_the_benchmark_step_keeps_what_an_unfinished_run_left(tmp_path):
    work = runner.Work(tmp_path, time.monotonic() + 5)
    work.call = lambda command, log: (tmp_path / "results.part.json").write_text(
        json.dumps({"rows": ROWS[:1]})
    )
    assert steps.benchmark(work).told == "ours measured in 1 of 1 cases and losses"
    (tmp_path / "results.part.json").unlink()
    work.call = lambda command, log: (tmp_path / log).write_text("an error: no driver\n")
    assert steps.benchmark(work) == ("failed", "no results: an error: no driver", 0.0)
