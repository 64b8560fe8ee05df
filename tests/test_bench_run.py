"""The benchmark's processes: whatever a contender does becomes a row that says so."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

import bench_kit
from bench import authors, contenders, processes, results, run
from bench.__main__ import main, parse
from patience import patiently

OUTCOMES = {  # of tests/bench_contenders.py
    "hungry": ("out of memory", "it wanted more than its share of 1 GiB"),
    "raises": ("failed", "ValueError: a complaint"),
    "dies": ("died", "SIGABRT at drsl building"),
    "wrong": ("wrong", "off the reference"),
    "nan": ("wrong", "finite, with a gradient: no"),
}


def options(*more):
    return parse(
        ["--device", "cpu", "--threads", "1", "--with", "bench_contenders", "--memory", "1", *more]
    )


@pytest.fixture
def workers(tmp_path):
    settings = run.settings_of(options("--seconds", "0.01"), seed=0, log=tmp_path / "log")
    settings["rates"] = {"copy": 1e10, "products": {}}
    some = processes.Workers(settings)
    yield some
    some.end()


def job(contender, patience=600.0):
    return {"case": "24x4x16", "contender": contender, "losses": ("drsl",), "patience": patience}


def outcome(workers, contender, patience=600.0):
    rows = []
    state = workers.run(job(contender, patience), rows.append)
    return state, rows


@pytest.mark.parametrize("contender", OUTCOMES)
def test_what_a_contender_does_to_itself_is_told(workers, contender):
    state, rows = outcome(workers, contender)
    wanted, told = OUTCOMES[contender]
    if contender == "dies":
        assert state == (wanted, told) and rows == []
        return
    assert state == ("done", "")
    assert rows[0]["state"] == wanted and told in rows[0]["told"], rows
    assert "ms" not in rows[0], "what is wrong is not timed"


def test_one_that_sleeps_is_stopped_and_the_next_one_runs(workers):
    def check(patience):
        start = time.monotonic()
        state, rows = outcome(workers, "sleeps", patience)
        told = f"stopped after {patience} s, at drsl building"
        assert state == ("timed out", told) and rows == []
        assert time.monotonic() - start < 90  # it sleeps longer

    patiently(check, 4, 40)
    state, rows = outcome(workers, "good")
    assert state == ("done", "") and rows[0]["state"] == "measured"
    assert rows[0]["of_ours"]["median"] > 0 and rows[0]["check"]["good"]
    assert set(rows[0]["ms"]) == {"forward", "backward", "both"}


def test_a_run_ends_with_everything_in_its_place(tmp_path, capsys):
    """One tiny case end to end; a wrong contender fails it, an absent one is named."""
    arguments = [
        "--device",
        "cpu",
        "--threads",
        "1",
        "--quick",
        "--case",
        "24x4x16",
        "--loss",
        "drsl",
    ]
    arguments += ["--seconds", "0.01", "--patience", "600", "--budget", "60"]
    arguments += ["--out", str(tmp_path)]
    arguments += ["--with", "bench_contenders", "--against", "good", "wrong", "absent"]
    assert main(arguments) == 1
    said = capsys.readouterr()
    found = results.read(tmp_path / results.NAME)
    states = {row["contender"]: row["state"] for row in found["rows"]}
    wanted = {"floor": "measured", "ours": "measured", "good": "measured", "wrong": "wrong"}
    assert states == wanted
    assert found["absent"] == {"absent": "no_module_of_this_name is not installed"}
    (ours,) = results.rows(found, contender="ours")
    assert ours["check"]["against"] == "the reference" and ours["bytes"] is not None
    assert 0 < ours["of_bound"] and ours["ms"]["both"]["calls"] >= 5 and ours["cold"]
    assert found["rates"]["copy"] > 1e8 and found["machine"]["packages"]["torch"]
    assert len(found["load"]) == 2
    assert "ours, drsl" in said.out and "absent: not there" in said.out
    assert "wrong: loss 1.0e-02" in said.out
    assert not (tmp_path / results.PART).exists() and (tmp_path / "report.md").exists()


def test_a_run_without_time_names_what_it_left_out(tmp_path, capsys):
    arguments = ["--device", "cpu", "--threads", "1", "--quick", "--case", "24x4x16",
                 "--against", "none", "--budget", "0.0001"]  # fmt: skip
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    rows = results.read(tmp_path / results.NAME)["rows"]
    assert {row["state"] for row in rows} == {"not run"} and len(rows) == 4
    assert capsys.readouterr().out.count("no time was left") == 4


def test_a_run_that_is_interrupted_goes_on_where_it_was(tmp_path):
    command = [sys.executable, "-m", "bench", "--device", "cpu", "--threads", "1", "--quick"]
    command += ["--case", "24x4x16", "--loss", "drsl", "--budget", "60", "--seconds", "0.01"]
    command += ["--with", "bench_contenders", "--against", "good", "sleeps"]
    command += ["--out", str(tmp_path), "--patience"]
    environment = {**os.environ, "PYTHONPATH": f"{bench_kit.ROOT}:{bench_kit.ROOT / 'tests'}"}
    part = tmp_path / results.PART
    running = subprocess.Popen([*command, "90"], cwd=bench_kit.ROOT, env=environment,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # fmt: skip
    deadline = time.monotonic() + 1200
    while not (part.exists() and '"contender": "good"' in part.read_text()):
        assert running.poll() is None and time.monotonic() < deadline, running.communicate()
        time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    said, _ = running.communicate(timeout=300)
    assert running.returncode == 130 and "--resume goes on from there" in said, said
    before = json.loads(part.read_text())["rows"]
    assert [row["contender"] for row in before] == ["floor", "ours", "good"]
    done = subprocess.run([*command, "3", "--resume"], cwd=bench_kit.ROOT, env=environment,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = results.read(tmp_path / results.NAME)["rows"]
    assert rows[:3] == before and (rows[3]["contender"], rows[3]["state"]) == (
        "sleeps",
        "timed out",
    )


class Silent:
    def __getattr__(self, name):
        return lambda *_: None


def test_checkouts_that_are_named_are_looked_for(tmp_path, monkeypatch):
    monkeypatch.delenv(authors.FOLDER, raising=False)
    (tmp_path / "RankSortLoss").mkdir()
    found = bench_kit.a_run()
    theirs = [c for c in contenders.choose([]) if c.name.startswith("authors-")]
    given = options("--authors", str(tmp_path))
    going = run.Run(found, given, [], theirs, tmp_path / "part.json", Silent())
    monkeypatch.delenv(authors.FOLDER)
    assert [contender.name for contender in going.others] == ["authors-rank-sort"]
    assert "there is no" in found["absent"]["authors-ap"]


def test_failures_of_ours_fail_the_run_and_those_of_peers_do_not():
    def status(*rows):
        return run.status_of(bench_kit.a_run(*rows))

    assert status(bench_kit.ended("64x4x512", "drsl", "pml-pnp", "out of memory")) == 0
    assert status(bench_kit.ended("64x4x512", "drsl", "pml-triplet", "wrong")) == 1
    assert status(bench_kit.ended("64x4x512", "drsl", "ours", "died")) == 1
    assert status(bench_kit.ended("64x4x512", "drsl", "ours", "not run")) == 0
