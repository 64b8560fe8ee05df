"""Steps that run tests: split over several processes, each taken up again where it died."""

import json
import sys
from pathlib import Path

from runner import FAILED, PARTLY, PASSED, TIMED_OUT, Outcome

HERE = Path(__file__).resolve().parent
RESTARTS = 10  # of one process; each costs a test
STATES = ("passed", "failed", "skipped", "unfinished")


def read_outcomes(files):
    """{test: entry} of all files; tests that were begun and not ended are "unfinished"."""
    found = {}
    for file in filter(Path.exists, files):
        for line in file.read_text().splitlines():
            try:
                entry = json.loads(line)
            except ValueError:  # cut off while it was written
                continue
            found[entry["test"]] = entry
    return found


def summary(found):
    counts = {state: sum(e["state"] == state for e in found.values()) for state in STATES}
    wrong = [e for e in found.values() if e["state"] in ("failed", "unfinished")]
    slow = sorted(found.values(), key=lambda e: -e["seconds"])[:10]
    return {
        "counts": counts,
        "wrong": wrong,
        "slowest": [{"test": e["test"], "seconds": e["seconds"]} for e in slow],
    }


def run_shard(work, name, shard, shards, arguments, environment):
    """Whether the shard came to its end. Raises TimeIsUp where it did not in time."""
    file = work.folder / f"{name}-{shard}.jsonl"
    settings = {
        "DRSL_OUTCOMES": str(file),
        "DRSL_SHARD": f"{shard}/{shards}",
        "PYTHONPATH": f"{HERE}:{environment['PYTHONPATH']}",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "outcome_log", "-p", "no:cacheprovider"]
    for _ in range(RESTARTS):
        status = work.call(
            [*command, *arguments], f"{name}-{shard}.log", {**environment, **settings}
        )
        if status == 5 or (status in (0, 1) and not cut_off(file)):  # 5: no tests are left
            return True
        if status in (2, 3, 4):  # interrupted, an error of pytest or of its usage
            return False
    return False


def cut_off(file):
    lines = file.read_text().splitlines() if file.exists() else []
    return bool(lines) and json.loads(lines[-1])["state"] == "unfinished"


def run_tests(work, name, arguments, *, shards, cpus, environment, optional=False):
    """optional: to run out of time is no fault."""
    threads = str(max(1, cpus // shards))
    environment = {**environment, "OMP_NUM_THREADS": threads}
    in_time = []

    def one(shard):
        ended = run_shard(work, name, shard, shards, arguments, environment)
        in_time.append(shard)
        return ended

    ended = work.together(one, list(range(shards)))
    files = [work.folder / f"{name}-{shard}.jsonl" for shard in range(shards)]
    found = summary(read_outcomes(files))
    (work.folder / f"{name}.json").write_text(json.dumps(found, indent=1))
    return judge(found["counts"], len(in_time) == shards, all(ended), optional)


def judge(counts, in_time, ended, optional):
    told = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    if counts["failed"]:
        return Outcome(FAILED, told if in_time else f"{told}, then time was up")
    if not in_time:
        return Outcome(PARTLY if optional else TIMED_OUT, f"{told}, then time was up")
    if counts["unfinished"] or not ended:
        return Outcome(FAILED, told or "pytest did not run: see its log")
    if not counts["passed"]:  # a GPU that no test sees
        return Outcome(FAILED, told or "there are no such tests")
    return Outcome(PASSED, told)
