"""What runs the steps of `make gpu`: here they are small ones that fail, hang or crash."""

import signal
import subprocess
import sys
import time

import pytest

from gpu_kit import FACTS, ROOT, runner, verdict
from patience import alive, patiently


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


def test_every_step_runs_whatever_became_of_the_others(tmp_path):
    start = time.monotonic()
    outcomes, written = run(
        tmp_path,
        300,
        fails=(0, call("raise SystemExit(3)")),
        crashes=(0, crash),
        passes=(100, call("print('hello')")),
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
    assert time.monotonic() - start < 100  # nobody waited for a share to be over


STUBBORN = """
import signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(99)"])
print(child.pid, flush=True)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(99)
"""


def test_a_hanging_step_is_ended_with_all_that_it_started_and_later_ones_have_their_share(tmp_path):
    def check(second):
        folder = tmp_path / str(second)
        folder.mkdir()
        hangs, passes = (1 * second, call(STUBBORN)), (6.5 * second, call("pass"))
        outcomes, _ = run(folder, 9 * second, hangs=hangs, passes=passes)
        assert states(outcomes) == {"hangs": "timed out", "passes": "passed"}
        assert outcomes["hangs"].seconds < 8 * second
        log = (folder / "step.log").read_text()
        assert "its time was up" in log
        assert not alive(int(log.split()[0]))

    patiently(check, 1, 6)


def test_time_left_over_goes_to_later_steps(tmp_path):
    limits = []

    def look(work):
        limits.append(work.left())
        return runner.Outcome(runner.PASSED)

    run(tmp_path, 1000, first=(200, look), second=(300, look), third=(500, look))
    assert limits == pytest.approx([200, 500, 1000], abs=50)


INTERRUPTED = """
import signal
import sys
from pathlib import Path

sys.path.insert(0, {tools!r})
import runner
import verdict

signal.signal(signal.SIGTERM, signal.default_int_handler)
folder = Path({folder!r})
hang = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"


def several(work):
    return work.together(
        lambda number: work.call([sys.executable, "-c", hang], f"{{number}}.log"), [0, 1]
    )


def good(work):
    return runner.Outcome(runner.PASSED)


steps = [runner.Step(*step) for step in (("good", 1, good), ("hangs", 500, several), ("later", 1, good))]
outcomes = runner.run_all(steps, folder, 600, lambda o: verdict.write(folder, {facts!r}, o))
print({{name: outcome.state for name, outcome in outcomes.items()}})
"""


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_its_results_and_no_programs(tmp_path, ending):
    text = INTERRUPTED.format(tools=str(ROOT / "tools/gpu"), folder=str(tmp_path), facts=FACTS)
    process = subprocess.Popen(program(text), stdout=subprocess.PIPE, text=True)
    logs = [tmp_path / "0.log", tmp_path / "1.log"]
    deadline = time.monotonic() + 300
    while not all(log.exists() and log.read_text().strip() for log in logs):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.1)
    process.send_signal(ending)
    said, _ = process.communicate(timeout=300)
    wanted = {"good": "passed", "hangs": "interrupted", "later": "not run"}
    assert str(wanted) in said
    assert "| hangs | **interrupted** |" in (tmp_path / "verdict.md").read_text()
    assert not any(alive(int(log.read_text().split()[0])) for log in logs)
