"""What pytest does in place of running its tests: for each mutant, a process that runs those which reach it.

The tests are collected once, in a process that computes nothing. A mutant is a fork of it in which the
mutant is active, tests run until one fails, and what the fork leaves is a word: killed by which test, or
survived. A fork that crashes, or that computes ten times as long as it should, has killed its mutant too.
"""

import ctypes
import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest
import reference

ROOT = Path(os.environ["DRSL_MUTATE_FOLDER"])
KIND = ROOT.name  # native or reference
BUDGET = float(os.environ["DRSL_MUTATE_BUDGET"])  # seconds for one mutant's tests, when none fails
LONGEST = BUDGET / 6  # seconds of processor time: tests that take longer are left out
PATIENCE = 900  # seconds of wall time, against deadlock


class Tests:
    """pytest's items, as the forks run them."""

    def __init__(self, session):
        self.items = session.items
        self.failed = False
        self.passed = False
        text = {item.path: item.path.read_bytes() for item in self.items}
        content = {path: hashlib.sha256(some).hexdigest()[:12] for path, some in text.items()}
        self.keys = [f"{item.nodeid}@{content[item.path]}" for item in self.items]
        self.at = {key: k for k, key in enumerate(self.keys)}

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report):
        self.failed |= report.failed
        self.passed |= report.when == "call" and report.passed

    def run(self, k, following=None):
        """True if it passed, False if it failed, None if it was skipped."""
        self.failed = self.passed = False
        item = self.items[k]
        item.config.hook.pytest_runtest_protocol(
            item=item, nextitem=None if following is None else self.items[following]
        )
        return False if self.failed else True if self.passed else None


def library():
    from drsl_cuda import _C

    return ctypes.CDLL(_C.__file__)


def pytest_runtestloop(session):
    tests = Tests(session)
    session.config.pluginmanager.register(tests)
    everything = json.loads((ROOT / "mutants.json").read_text())
    count = max(m["number"] for m in everything)
    seen = survey(tests, count)
    chosen = json.loads(os.environ["DRSL_MUTATE_NUMBERS"])
    by_number = {m["number"]: m for m in everything}
    lately = []  # tests that killed something, the last one first
    running = {}
    with (ROOT / "results.jsonl").open("a") as results:
        for number in [*chosen, *[None] * int(os.environ["DRSL_MUTATE_JOBS"])]:
            while running and (
                number is None or len(running) >= int(os.environ["DRSL_MUTATE_JOBS"])
            ):
                finished = wait_for_one(running)
                if finished:
                    record(results, finished)
                    if by := finished.get("by"):
                        lately = [by, *[key for key in lately if key != by]][:20]
            if number is not None:
                mutant = by_number[number]
                order = those_that_reach(mutant, seen, tests, lately)
                if not order:
                    record(results, verdict(mutant, 0, [], 0.0, 0))
                    continue
                start(mutant, everything, order, seen, tests, running)
    return True


def record(results, found):
    results.write(json.dumps(found) + "\n")
    results.flush()
    told = f"{found['number']:5} {found['result']:12} {found['seconds']:6.1f} s  {found['name']}"
    print(told, file=sys.stderr)


def survey(tests, count):
    """{key of a test: seconds, native mutants and reference lines that it reaches}, of those that pass."""
    path = ROOT / "survey.jsonl"
    known = {}
    if path.exists():
        for line in path.read_text().splitlines():
            one = json.loads(line)
            known[one["key"]] = one
    missing = [k for k, key in enumerate(tests.keys) if key not in known]
    while missing:
        pid = os.fork()
        if pid == 0:
            look(tests, missing, count, path)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        new = [json.loads(line) for line in path.read_text().splitlines()]
        known |= {one["key"]: one for one in new}
        left = [k for k in missing if tests.keys[k] not in known]
        if left and status:  # what comes first crashed
            with path.open("a") as out:
                out.write(json.dumps({"key": tests.keys[left[0]], "passed": False}) + "\n")
            left = left[1:]
        missing = left
    return {k: known[key] for k, key in enumerate(tests.keys)
            if known[key]["passed"] and known[key]["seconds"] <= LONGEST}  # fmt: skip


def look(tests, which, count, path):
    marks = (ctypes.c_ubyte * (count + 2))()
    if KIND == "native":
        marks = type(marks).in_dll(library(), "drsl_mutants_reached")
        ctypes.c_int.in_dll(library(), "drsl_mutant").value = -1
    folder = str(ROOT / reference.FOLDER)
    lines = set()

    def trace(frame, event, _):
        file = frame.f_code.co_filename
        if not file.startswith(folder):
            return None
        lines.add((file[len(str(ROOT)) + 1 :], frame.f_lineno))
        return trace

    with path.open("a") as out:
        for k in which:
            ctypes.memset(marks, 0, count + 1)
            lines.clear()
            if KIND == "reference":  # a call of Python's for every line is slow
                sys.settrace(trace)
            start = time.process_time()
            passed = tests.run(k)
            sys.settrace(None)
            found = {"key": tests.keys[k], "passed": passed is True}
            if passed:
                found["seconds"] = round(time.process_time() - start, 3)
                found["native"] = [n for n, mark in enumerate(bytes(marks)) if mark]
                found["lines"] = sorted(f"{file}:{line}" for file, line in lines)
            out.write(json.dumps(found) + "\n")
            out.flush()


def those_that_reach(mutant, seen, tests, lately):
    """Tests in the order in which they should be tried: late killers, then each function's quickest, …"""
    place = f"{mutant['path']}:{mutant['line']}"
    where, what = ("native", mutant["number"]) if KIND == "native" else ("lines", place)
    able = [k for k, one in seen.items() if what in one[where]]
    turns, order = {}, []
    for k in sorted(able, key=lambda k: seen[k]["seconds"]):
        name = tests.items[k].nodeid.partition("[")[0]
        turns[name] = turns.get(name, 0) + 1
        order.append((turns[name], seen[k]["seconds"], k))
    order = [k for _, _, k in sorted(order)]
    first = [tests.at[key] for key in lately if tests.at.get(key) in set(able)]
    order = [*first, *[k for k in order if k not in first]]
    total, within = 0.0, []
    for k in order:
        total += seen[k]["seconds"]
        if total <= BUDGET:
            within.append(k)
    return within


def start(mutant, everything, order, seen, tests, running):
    mouth, hand = os.pipe()
    pid = os.fork()
    if pid:
        os.close(hand)
        running[pid] = mutant, mouth, time.monotonic(), len(order)
        return
    status = 4  # what is left to be said if this goes wrong
    try:
        status = try_tests(mutant, everything, order, seen, tests, hand)
    finally:
        os._exit(status)


def try_tests(mutant, everything, order, seen, tests, hand):
    """0: all passed, 1: one failed, 3: there was nothing to mutate."""
    if KIND == "native":
        ctypes.c_int.in_dll(library(), "drsl_mutant").value = mutant["number"]
    elif not reference.activate(ROOT, mutant, everything):
        return 3
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    for k, following in zip(order, [*order[1:], None], strict=True):
        os.write(hand, (tests.keys[k] + "\n").encode())
        signal.setitimer(signal.ITIMER_PROF, 10 + 10 * seen[k]["seconds"])
        if tests.run(k, following) is False:
            return 1
    return 0


def wait_for_one(running):
    for pid, (mutant, mouth, began, tried) in list(running.items()):
        done, status = os.waitpid(pid, os.WNOHANG)
        seconds = time.monotonic() - began
        if not done:
            if seconds > PATIENCE:
                os.kill(pid, signal.SIGKILL)
            continue
        said = b""
        while piece := os.read(mouth, 1 << 16):
            said += piece
        os.close(mouth)
        del running[pid]
        keys = said.decode().split("\n")[:-1]
        return verdict(mutant, status, keys, seconds, tried)
    time.sleep(0.005)
    return None


def verdict(mutant, status, keys, seconds, tried):
    found = {"number": mutant["number"], "name": name_of(mutant), "text": mutant["text"]}
    found |= {"seconds": round(seconds, 2), "tests": len(keys)}
    if tried == 0:
        return found | {"result": "not reached"}
    if os.WIFSIGNALED(status):
        late = os.WTERMSIG(status) in (signal.SIGPROF, signal.SIGKILL)
        return found | {"result": "timeout" if late else "crash", "by": keys[-1] if keys else None}
    code = os.waitstatus_to_exitcode(status)
    if code == 0:
        return found | {"result": "survived"}
    if code != 1:
        return found | {"result": "no change" if code == 3 else "fault of the tool"}
    return found | {"result": "killed", "by": keys[-1]}


def name_of(mutant):
    return f"{mutant['path']}:{mutant['line']} {mutant['was']} -> {mutant['now']}"
