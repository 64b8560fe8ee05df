"""Runs named steps one after the other, whatever becomes of them, and says what became of them.

A step may use its own share of the time and whatever earlier steps left over. What it starts is
killed when that is used up. Results are written after each step, so that nothing is lost when the
run is cut off from outside.
"""

import os
import signal
import subprocess
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

PASSED, PARTLY, SKIPPED = "passed", "partly", "skipped"
FAILED, TIMED_OUT, CRASHED = "failed", "timed out", "crashed"
INTERRUPTED, NOT_RUN = "interrupted", "not run"
GOOD = (PASSED, PARTLY, SKIPPED)

GRACE = 3.0  # seconds between asking a program to end and ending it


class Outcome(NamedTuple):
    state: str
    told: str = ""  # one line for the table
    seconds: float = 0.0


class Step(NamedTuple):
    name: str
    share: float  # seconds that are kept for it
    run: Callable  # Work -> Outcome


class TimeIsUp(Exception):
    pass


class Work:
    """What a step works with: a folder for its files, a time to be done by, programs to call."""

    def __init__(self, folder, deadline, environment=None):
        self.folder = folder
        self.deadline = deadline
        self.environment = {**os.environ, **(environment or {})}
        self._running = set()
        self._stopped = False
        self._lock = threading.Lock()

    def left(self):
        return self.deadline - time.monotonic()

    def call(self, command, log, environment=None):
        """The program's exit status; its output is appended to a file of that name."""
        if self._stopped or self.left() <= 0:
            raise TimeIsUp
        with (self.folder / log).open("ab") as output:
            program = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**self.environment, **(environment or {})},
                start_new_session=True,  # so that what it starts in turn ends with it
            )
            with self._lock:
                self._running.add(program)
            try:
                return program.wait(timeout=self.left())
            except subprocess.TimeoutExpired:
                output.write(b"\n-- stopped: its time was up\n")
                raise TimeIsUp from None
            finally:
                self._end(program)

    def together(self, function, items):
        """Results of function(item), each in a thread of its own; None where its time was up."""

        def guarded(item):
            try:
                return function(item)
            except TimeIsUp:
                return None

        with ThreadPoolExecutor(max_workers=max(1, len(items))) as pool:
            try:
                return list(pool.map(guarded, items))
            except BaseException:
                self.end_all()
                raise

    def end_all(self):
        with self._lock:
            self._stopped = True
            programs = list(self._running)
        for program in programs:
            self._end(program)

    def _end(self, program):
        for ending, patience in ((signal.SIGTERM, GRACE), (signal.SIGKILL, None)):
            if program.poll() is not None:
                break
            try:
                os.killpg(program.pid, ending)
                program.wait(timeout=patience)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                pass
        try:
            os.killpg(program.pid, signal.SIGKILL)  # what it left behind
        except (ProcessLookupError, PermissionError):
            pass
        with self._lock:
            self._running.discard(program)


def run_one(step, work):
    start = time.monotonic()
    try:
        outcome = step.run(work)
    except TimeIsUp:
        outcome = Outcome(TIMED_OUT, f"stopped after {time.monotonic() - start:.0f} s")
    except KeyboardInterrupt:
        outcome = Outcome(INTERRUPTED)
    except Exception as error:
        (work.folder / f"{slug(step.name)}-crash.log").write_text(traceback.format_exc())
        outcome = Outcome(CRASHED, f"{type(error).__name__}: {error}".splitlines()[0])
    finally:
        work.end_all()
    return outcome._replace(seconds=time.monotonic() - start)


def run_all(steps, folder, seconds, write, environment=None):
    """Outcomes by name. `write` is called with them after each step, and once more at the end."""
    end = time.monotonic() + seconds
    outcomes = {step.name: Outcome(NOT_RUN) for step in steps}
    for number, step in enumerate(steps):
        kept = sum(later.share for later in steps[number + 1 :])
        deadline = max(end - kept, min(end, time.monotonic() + 1))
        print(f"-- {step.name} (at most {deadline - time.monotonic():.0f} s)", flush=True)
        outcomes[step.name] = outcome = run_one(step, Work(folder, deadline, environment))
        print(f"   {outcome.state} after {outcome.seconds:.0f} s: {outcome.told}", flush=True)
        write(outcomes)
        if outcome.state == INTERRUPTED:
            break
    return outcomes


def all_good(outcomes):
    return all(outcome.state in GOOD for outcome in outcomes.values())


def slug(name):
    """Letters, digits, dots and dashes alone: NVIDIA H200 → nvidia-h200."""
    kept = "".join(c if c.isalnum() or c == "." else "-" for c in name.lower())
    return "-".join(filter(None, kept.split("-")))
