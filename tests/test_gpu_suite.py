"""Tests that die or hang, and what becomes of the others: the steps of `make gpu` that run tests."""

import json
import time

import pytest

from gpu_kit import ROOT, runner, suite

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


def run_suite(tmp_path, seconds=600, tests=TESTS, patience="4", **options):
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


SLOW_FIRST = """
import pytest

@pytest.mark.slow
def test_slow():
    pass

def test_quick():
    pass
"""


def test_what_takes_long_comes_last(tmp_path):
    run_suite(tmp_path, tests=SLOW_FIRST, shards=1)
    lines = (tmp_path / "some-0.jsonl").read_text().splitlines()
    names = [json.loads(line)["test"].split("::")[1] for line in lines]
    assert list(dict.fromkeys(names)) == ["test_quick", "test_slow"]
