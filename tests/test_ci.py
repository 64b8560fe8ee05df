"""What runs the steps of .ci/run, with small steps in their place."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from patience import alive

SCHEDULE = Path(__file__).resolve().parents[1] / ".ci/schedule"
if not SCHEDULE.exists():
    pytest.skip("the checks are not part of this copy", allow_module_level=True)

STEPS = """
set -euo pipefail
steps=("first" "tests first" "slow first" "other first")
last=tests
first() {{ echo one; }}
{functions}
. {schedule}
"""
HANGS = "echo $BASHPID > hangs; sleep 600; echo not reached"


def begin(folder, *names, **functions):
    """A run in the folder; a function that is not given says its name."""
    bodies = {name: f"echo {name} ran" for name in ("slow", "other")} | {"tests": "echo 5 passed"}
    written = "\n".join(f"{name}() {{ {body}; }}" for name, body in (bodies | functions).items())
    (folder / "run").write_text(STEPS.format(functions=written, schedule=SCHEDULE))
    return subprocess.Popen(
        ["bash", "run", *names], cwd=folder, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, env={**os.environ, "TMPDIR": str(folder)},
    )  # fmt: skip


def hangs(folder):
    """The number of its process, once it is there."""
    while not (text := (folder / "hangs").read_text() if (folder / "hangs").exists() else ""):
        time.sleep(0.02)
    return text.strip()


def said(run):
    return run.communicate(timeout=300)[0]


def test_two_at_a_time_and_the_last_words_last(tmp_path):
    wait = "echo begun; until [[ -e go ]]; do sleep 0.02; done; echo over"
    run = begin(tmp_path, slow=wait, other="touch go")
    text = said(run)
    assert run.returncode == 0, text
    *lines, summary = text.splitlines()
    assert summary == "5 passed"  # as pytest has it
    words = {line.split()[2]: line.rpartition(" s  ")[2] for line in lines}
    assert words == {"first": "one", "other": "", "slow": "over", "tests": "5 passed"}
    # of `other` and `slow`, which end one right after the other, either may be heard of first
    assert lines[0].endswith("one") and lines[-1].endswith("5 passed")
    assert {path.name for path in tmp_path.iterdir()} == {"run", "go"}


def test_one_that_fails_is_named_and_ends_the_others(tmp_path):
    run = begin(tmp_path, slow=HANGS, other="echo a reason; hangs; false; echo not reached",
                hangs="until [[ -s hangs ]]; do sleep 0.02; done")  # fmt: skip
    text = said(run)
    assert run.returncode == 1
    assert "a reason\n" in text and "\n== other failed\n" in text and "not reached" not in text
    assert not alive(hangs(tmp_path))


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("names", [[], ["slow"]], ids=["all", "alone"])
def test_ctrl_c_ends_all_that_was_started(tmp_path, names, ending):
    run = begin(tmp_path, *names, slow=HANGS)
    process = hangs(tmp_path)
    assert alive(process)
    run.send_signal(ending)
    assert "not reached" not in said(run)
    assert run.returncode == 130 and not alive(process)
    assert {path.name for path in tmp_path.iterdir()} == {"run", "hangs"}


def test_a_step_alone_runs_what_it_needs_and_nothing_else(tmp_path):
    text = said(begin(tmp_path, "other"))
    assert text.index("\none\n") < text.index("\nother ran\n") and "slow" not in text
    run = begin(tmp_path, "nothing")
    assert "no step nothing; there are: first tests slow other" in said(run)
    assert run.returncode == 2
