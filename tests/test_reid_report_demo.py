"""The demonstration from end to end, as small as it gets: it trains, stops when told, goes on, and tells."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from report import results

ROOT = Path(__file__).resolve().parents[1]
SMALL = ["--data", "synthetic:identities=32,test=8,images=4", "--epochs", "1", "--seeds", "1"]


def command(folder, *arguments):
    return [sys.executable, str(ROOT / "examples/reid/demo.py"), "--out", str(folder), *arguments]


def environment():
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def run(folder, *arguments):
    return subprocess.run(
        command(folder, *arguments), env=environment(), capture_output=True, text=True, timeout=1200
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("demo")
    done = run(made, *SMALL)
    assert done.returncode == 0, done.stderr
    assert "report.html" in done.stdout
    assert "run 9 of 9" in done.stderr
    return made


def test_it_trains_every_loss_and_writes_the_page(folder):
    made = results.load(folder)
    assert not made.missing()
    assert set(made.features) == {"untrained", "drsl", "fidi", "smooth_ap", "triplet", "id"}
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "Not finished" not in text and "Batch-hard triplet" in text


def test_losses_start_from_the_same_weights(folder):
    before = {json.dumps(run.untrained) for run in results.load(folder).runs.values()}
    assert len(before) == 1
    after = {json.dumps(run.final) for run in results.load(folder).runs.values()}
    assert len(after) > 1


def test_it_goes_on_with_what_is_missing_and_gets_the_same_numbers(folder):
    path = folder / "runs/fidi-16x4-seed0.json"
    before, others = results.read_json(path), folder / "runs/drsl-16x4-seed0.json"
    untouched = others.stat().st_mtime_ns
    path.unlink()
    done = run(folder, *SMALL)
    assert done.returncode == 0 and "1 of 9 runs to do" in done.stderr, done.stderr
    after = results.read_json(path)
    assert others.stat().st_mtime_ns == untouched

    def scores(record):
        return [{k: v for k, v in point.items() if k != "seconds"} for point in record["curve"]]

    assert scores(after) == scores(before)


def test_the_page_alone(folder):
    page = folder / "report.html"
    before = page.read_text(encoding="utf-8")
    page.unlink()
    done = run(folder, "--page-only")
    assert done.returncode == 0 and page.read_text(encoding="utf-8") == before


def test_another_question_needs_another_folder(folder):
    done = run(folder, *SMALL[:2], "--epochs", "3", "--seeds", "1")
    assert done.returncode == 2
    assert "--epochs 1" in done.stderr and "--fresh" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments, told",
    [
        (["--page-only"], "no comparison was begun"),
        (["--seeds", "0"], "--seeds must be at least 1, got 0"),
        (["--data", "nothing"], "data must be one of"),
        (["--data", "synthetic:identities=20,test=4,images=4"], "32 identities or more"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, arguments, told):
    done = run(tmp_path / "new", *arguments)
    assert done.returncode == 2 and told in done.stderr
    assert "Traceback" not in done.stderr


def test_interrupted_it_keeps_what_is_finished(tmp_path):
    going = subprocess.Popen(
        command(tmp_path, *SMALL[:2], "--epochs", "40", "--seeds", "2", "--seconds", "1e6"),
        env=environment(), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        for _ in range(12_000):
            if list(tmp_path.glob("runs/*.json")) or going.poll() is not None:
                break
            time.sleep(0.1)
        going.send_signal(signal.SIGINT)
        out, told = going.communicate(timeout=1200)
    finally:
        going.kill()
    assert going.returncode == 130, told
    assert "finished runs are kept" in told and "report.html" in out
    made = results.load(tmp_path)
    assert made.runs and made.missing()
    assert "Not finished" in (tmp_path / "report.html").read_text(encoding="utf-8")
