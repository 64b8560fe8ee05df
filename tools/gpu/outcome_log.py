"""A pytest plugin: each test's outcome to a file at once, a line of JSON each.

A run that hangs or dies tells what it had done and what it was at, and is taken up again behind
that. A CUDA error that breaks the context would fail every test after it: the run ends there.

    DRSL_OUTCOMES  the file; tests that it names are not run again
    DRSL_SHARD     "2/8": one test in eight
    DRSL_PATIENCE  seconds after which a test counts as hung
"""

import faulthandler
import json
import os
import sys
import zlib
from pathlib import Path

import pytest

LOST = 75  # exit status: the CUDA context is broken, start again

real_stderr = os.dup(2)  # before pytest captures it
patience = float(os.environ.get("DRSL_PATIENCE", "60"))
failed = set()


def read(file):
    """{test: its last entry}."""
    lines = file.read_text().splitlines() if file.exists() else []
    return {entry["test"]: entry for entry in map(json.loads, lines)}


def write(**entry):
    with Path(os.environ["DRSL_OUTCOMES"]).open("a") as file:
        file.write(json.dumps(entry) + "\n")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    shard, shards = map(int, os.environ.get("DRSL_SHARD", "0/1").split("/"))
    known = read(Path(os.environ["DRSL_OUTCOMES"]))
    kept, left = [], []
    for item in items:
        ours = zlib.crc32(item.nodeid.encode()) % shards == shard and item.nodeid not in known
        (kept if ours else left).append(item)
    config.hook.pytest_deselected(items=left)
    # Compilers may take what time there is: nothing is to wait for them.
    items[:] = sorted(kept, key=lambda item: item.get_closest_marker("slow") is not None)


def pytest_runtest_logstart(nodeid):
    write(test=nodeid, state="unfinished", seconds=0, message="")
    faulthandler.dump_traceback_later(patience, exit=True, file=real_stderr)


def pytest_runtest_logreport(report):
    if report.when == "call" or report.outcome != "passed":
        message = "" if report.passed else str(report.longrepr)[-2000:]
        seconds = round(report.duration, 3)
        write(test=report.nodeid, state=report.outcome, seconds=seconds, message=message)
    if report.failed:
        failed.add(report.nodeid)


def pytest_runtest_logfinish(nodeid):
    faulthandler.cancel_dump_traceback_later()
    if nodeid in failed and context_is_broken():
        pytest.exit(f"the CUDA context is broken after {nodeid}", returncode=LOST)


def context_is_broken():
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return False
    try:
        torch.cuda.synchronize()
        torch.zeros(1, device="cuda").item()
    except RuntimeError:
        return True
    return False
