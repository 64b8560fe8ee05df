"""`make gpu` and the report on kernels, as far as they go without a GPU.

They are programs of tools/; here their steps are replaced by small ones that fail, hang or crash.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
if not (ROOT / "tools/gpu").exists():
    pytest.skip("the tools are not part of this copy", allow_module_level=True)
sys.path += [str(ROOT / "tools/gpu"), str(ROOT / "tools")]

import kernel_report  # noqa: E402
import runner  # noqa: E402
import sanitizer  # noqa: E402
import sanitizer_cases  # noqa: E402
import steps  # noqa: E402
import suite  # noqa: E402
import verdict  # noqa: E402

FACTS = {"gpu": {"name": "A GPU", "arch": "90"}, "cpus": 2, "packages": {}, "commit": "abc"}


def program(text):
    return [sys.executable, "-c", text]


def call(text):
    """A step that runs a program and passes if it ends well."""

    def run(work):
        status = work.call(program(text), "step.log")
        return runner.Outcome(runner.PASSED if status == 0 else runner.FAILED, f"status {status}")

    return run


def crash(*arguments):
    raise ValueError("a step that\nwas not thought through")


def run(folder, seconds, **named):
    chosen = [runner.Step(name, *step) for name, step in named.items()]
    written = []

    def write(outcomes):
        written.append(dict(outcomes))
        verdict.write(folder, FACTS, outcomes)

    return runner.run_all(chosen, folder, seconds, write), written


def states(outcomes):
    return {name: outcome.state for name, outcome in outcomes.items()}


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_every_step_runs_whatever_became_of_the_others(tmp_path):
    start = time.monotonic()
    outcomes, written = run(
        tmp_path,
        30,
        fails=(0, call("raise SystemExit(3)")),
        crashes=(0, crash),
        passes=(25, call("print('hello')")),
    )
    assert states(outcomes) == {"fails": "failed", "crashes": "crashed", "passes": "passed"}
    assert outcomes["fails"].told == "status 3"
    assert outcomes["crashes"].told == "ValueError: a step that"
    assert not runner.all_good(outcomes)
    assert len(written) == 3 and states(written[0])["passes"] == "not run"
    assert "hello" in (tmp_path / "step.log").read_text()
    assert "not thought through" in (tmp_path / "crashes-crash.log").read_text()
    text = (tmp_path / "verdict.md").read_text()
    assert "| passes | **passed** |" in text and "Not all good." in text
    assert time.monotonic() - start < 20


STUBBORN = """
import signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(99)"])
print(child.pid, flush=True)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(99)
"""


def test_a_hanging_step_is_ended_with_all_that_it_started_and_later_ones_have_their_share(tmp_path):
    outcomes, _ = run(tmp_path, 9, hangs=(1, call(STUBBORN)), passes=(6.5, call("pass")))
    assert states(outcomes) == {"hangs": "timed out", "passes": "passed"}
    assert outcomes["hangs"].seconds < 8
    log = (tmp_path / "step.log").read_text()
    assert "its time was up" in log
    assert not alive(int(log.split()[0]))


def test_time_left_over_goes_to_later_steps(tmp_path):
    limits = []

    def look(work):
        limits.append(work.left())
        return runner.Outcome(runner.PASSED)

    run(tmp_path, 10, first=(2, look), second=(3, look), third=(5, look))
    assert limits == pytest.approx([2, 5, 10], abs=0.5)


INTERRUPTED = """
import signal
import sys
from pathlib import Path

sys.path.insert(0, {tools!r})
import runner
import verdict

signal.signal(signal.SIGTERM, signal.default_int_handler)
folder = Path({folder!r})
hang = "import os, time; print(os.getpid(), flush=True); time.sleep(99)"


def several(work):
    return work.together(
        lambda number: work.call([sys.executable, "-c", hang], f"{{number}}.log"), [0, 1]
    )


def good(work):
    return runner.Outcome(runner.PASSED)


steps = [runner.Step(*step) for step in (("good", 1, good), ("hangs", 50, several), ("later", 1, good))]
outcomes = runner.run_all(steps, folder, 60, lambda o: verdict.write(folder, {facts!r}, o))
print({{name: outcome.state for name, outcome in outcomes.items()}})
"""


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_its_results_and_no_programs(tmp_path, ending):
    text = INTERRUPTED.format(tools=str(ROOT / "tools/gpu"), folder=str(tmp_path), facts=FACTS)
    process = subprocess.Popen(program(text), stdout=subprocess.PIPE, text=True)
    logs = [tmp_path / "0.log", tmp_path / "1.log"]
    deadline = time.monotonic() + 40
    while not all(log.exists() and log.read_text().strip() for log in logs):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.1)
    process.send_signal(ending)
    said, _ = process.communicate(timeout=20)
    wanted = {"good": "passed", "hangs": "interrupted", "later": "not run"}
    assert str(wanted) in said
    assert "| hangs | **interrupted** |" in (tmp_path / "verdict.md").read_text()
    assert not any(alive(int(log.read_text().split()[0])) for log in logs)


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
    (folder / "on-the-gpu.json").write_text(json.dumps({"counts": {"passed": 3}}))
    monkeypatch.setenv("OUT", str(out))
    verdict.write(folder, FACTS, {"a": runner.Outcome("passed", "with a | in it")})
    kept = sorted(path.name for path in (out / "a-gpu").iterdir())
    assert kept == ["logs.tar.gz", "tests.json", "verdict.md"]
    assert json.loads((folder / "tests.json").read_text())["on-the-gpu"]["counts"]["passed"] == 3
    assert "All good." in (folder / "verdict.md").read_text()


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


TESTS = """
import os, time
import pytest

@pytest.mark.parametrize("number", range(6))
def test_good(number):
    pass

def test_wrong():
    assert 1 == 2, "the reason"

def test_dies():
    os.abort()

def test_hangs():
    time.sleep(99)

def test_left_out():
    pytest.skip("for a reason")
"""


def run_suite(tmp_path, seconds=60, tests=TESTS, patience="4", **options):
    (tmp_path / "test_some.py").write_text(tests)
    work = runner.Work(tmp_path, time.monotonic() + seconds)
    environment = {"PYTHONPATH": str(ROOT), "DRSL_PATIENCE": patience}
    arguments = [str(tmp_path / "test_some.py"), "-c", "/dev/null"]
    settings = {"shards": 2, "cpus": 2, "environment": environment, **options}
    outcome = suite.run_tests(work, "some", arguments, **settings)
    return outcome, json.loads((tmp_path / "some.json").read_text())


def test_tests_that_die_or_hang_do_not_take_the_others_with_them(tmp_path):
    outcome, found = run_suite(tmp_path)
    assert found["counts"] == {"passed": 6, "failed": 1, "skipped": 1, "unfinished": 2}
    assert outcome.state == "failed"
    assert outcome.told == "6 passed, 1 failed, 1 skipped, 2 unfinished"
    wrong = {entry["test"].split("::")[1]: entry for entry in found["wrong"]}
    assert set(wrong) == {"test_wrong", "test_dies", "test_hangs"}
    assert "the reason" in wrong["test_wrong"]["message"]


@pytest.mark.parametrize(
    ("counted", "in_time", "optional", "state"),
    [
        ({"passed": 3}, True, False, "passed"),
        ({"passed": 3, "unfinished": 1}, False, False, "timed out"),
        ({"passed": 3, "unfinished": 1}, False, True, "partly"),
        ({"passed": 3, "failed": 1}, False, True, "failed"),
        ({"passed": 3, "unfinished": 1}, True, True, "failed"),
        ({"skipped": 3}, True, False, "failed"),
        ({}, True, False, "failed"),
    ],
)
def test_what_became_of_tests_is_judged(counted, in_time, optional, state):
    outcome = suite.judge(dict.fromkeys(suite.STATES, 0) | counted, in_time, True, optional)
    assert outcome.state == state
    assert ("time was up" in outcome.told) == (not in_time)


def test_tests_that_cannot_be_collected_fail_the_step(tmp_path):
    outcome, _ = run_suite(tmp_path, tests="import nothing_of_this_name")
    assert outcome.state == "failed"


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
    outcome = sanitizer.sanitize(runner.Work(tmp_path, time.monotonic() + 20), {})
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


USAGE = """
arch = sm_90
 Function _ZN4drsl4cuda4turnEv:
  REG:72 STACK:{stack} SHARED:3072 LOCAL:0 CONSTANT[0]:440 TEXTURE:0 SURFACE:0 SAMPLER:0
"""
ELF = """
arch = sm_90
.nv.info._ZN4drsl4cuda4turnEv
	Attribute:	EIATTR_MAX_THREADS
	Format:	EIFMT_SVAL
	Value:	0x100 0x1 0x1
"""
SASS = """
arch = sm_90
		Function : _ZN4drsl4cuda4turnEv
        /*0000*/                   LDG.E.128 R4, desc[UR6][R2.64] ;      /* 0x00000a00ff017624 */
        /*0010*/              @!P0 FADD.SAT R1, R2, R3 ;                 /* 0x00000a00ff017624 */
        /*0020*/                   LDGSTS.E.BYPASS.128 [R1], desc[UR6][R2.64] ;
        /*0030*/                   STL [R1], R2 ;
"""


def test_resources_and_opcodes_are_read():
    (kernel,) = kernel_report.resources(USAGE.format(stack=0))
    assert (kernel.registers, kernel.shared, kernel.stack) == (72, 2048, 0)
    assert list(kernel.faults()) == ["has no __launch_bounds__"]
    bounds = kernel_report.launch_bounds(ELF)
    kernel = kernel._replace(threads=bounds["90", kernel.symbol])
    assert kernel.blocks() == 3 and not list(kernel.faults())
    counts = kernel_report.opcodes(SASS)["90", kernel.symbol]
    wanted = {"LDG.128": 1, "FADD.SAT": 1, "LDGSTS": 1, "local": 1, "all": 4, "HMMA": 0, "LDS": 0}
    assert {name: counts[name] for name in wanted} == wanted
    assert "stack" in next(kernel._replace(opcodes=counts).faults())
    (spilling,) = kernel_report.resources(USAGE.format(stack=16))
    assert "16 bytes of stack" in next(spilling.faults())


KERNELS = """
__global__ void __launch_bounds__(64, 1) good(float4* x) { x[threadIdx.x].x += 1; }
__global__ void __launch_bounds__(64, 1) bad(float* x, int n) {
  float a[512];
  for (int i = 0; i < 512; ++i) a[i] = x[i * n];
  for (int i = 0; i < n; ++i) a[(i * n) & 511] += a[(n + i) & 511];
  x[0] = a[n & 511];
}
"""


@pytest.mark.skipif(not shutil.which("nvcc"), reason="no nvcc")
def test_a_stack_fails_the_report(tmp_path):
    (tmp_path / "some.cu").write_text(KERNELS)
    compile = ["nvcc", "-arch=sm_90", "-c", "some.cu"]
    if subprocess.run(compile, cwd=tmp_path, check=False).returncode != 0:
        pytest.skip("nvcc does not work here")

    def reported(match):
        command = [sys.executable, ROOT / "tools/kernel_report.py", tmp_path / "some.o"]
        return subprocess.run(
            [*command, "--match", match], capture_output=True, text=True, check=False
        )

    good, bad = reported("good"), reported("bad")
    if "needs cuobjdump" in good.stderr:
        pytest.skip("no cuobjdump")
    assert good.returncode == 0 and "good" in good.stdout, good.stderr
    assert bad.returncode == 1 and "bad has 2048 bytes of stack" in bad.stderr
