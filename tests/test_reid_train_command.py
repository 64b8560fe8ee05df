"""train.py as a command: settings from words, exit statuses, Ctrl-C, a full disk."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import torch

import reid_command
import train
from reid_kit import Data, fake, lines, numbers, same_state, state
from training import checkpoint, losses
from training.loop import Trainer
from training.settings import Settings

HERE = Path(__file__).parent
RUN = [sys.executable, str(HERE / "reid_command.py"), "train", "--data", "fake"]
SMALL = "--epochs 2 --per-batch 4 --per-identity 3".split()
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def fake_data(monkeypatch):
    monkeypatch.setitem(sys.modules, "data", reid_command)


def test_every_setting_has_a_flag_and_a_word_of_help():
    assert set(train.HELP) == {f.name for f in fields(Settings)} - {"loss_options"}
    text = train.parser().format_help()
    for name in [*train.HELP, *{o for loss in losses.NAMES for o in losses.options_of(loss)}]:
        assert "--" + name.replace("_", "-") in text


def test_words_become_settings():
    settings, arguments = train.settings_of(
        "--data d --loss drsl --delta 0.25 --normalize --id-loss --no-augment --lr 0.01 "
        "--max-seconds 9 --height 64 --out o".split()
    )
    assert settings == Settings(
        data="d", loss="drsl", loss_options={"delta": 0.25, "normalize": True}, id_loss=True,
        augment=False, lr=0.01, max_seconds=9.0, height=64,
    )  # fmt: skip
    assert arguments.out == "o" and not arguments.resume
    assert train.settings_of(["--data", "d"])[0] == Settings(data="d")  # the same defaults
    soft, _ = train.settings_of("--data d --loss triplet --margin soft --no-normalize".split())
    assert soft.loss_options == {"margin": None, "normalize": False}


@pytest.mark.parametrize(
    "words, message",
    [
        ("--lr -1", "lr must be a finite number above 0, got -1.0"),
        ("--lr nan", "lr must be a finite number above 0, got nan"),
        ("--epochs 0", "epochs must be at least 1, got 0"),
        ("--final-lr 2", "final_lr must be a finite number at least 0 and at most 1, got 2.0"),
        ("--max-seconds 0", "max_seconds must be a finite number above 0, got 0.0"),
        ("--loss hinge", "loss must be one of drsl, fidi, smooth_ap, triplet, got 'hinge'"),
        ("--model big", "model must be one of small, resnet50, vit_small, got 'big'"),
        ("--optimizer x", "optimizer must be one of adam, sgd, got 'x'"),
        ("--loss triplet --delta 1", "triplet has no option delta; it has margin, normalize"),
        ("--delta -1", "delta must be"),
        ("--data none", "data must be fake, got 'none'"),
        ("--weights none.pt", "none.pt: no such file"),
        ("--device tpu", "device must be auto, cpu or cuda, got 'tpu'"),
        ("--threads 0", "--threads must be at least 1, got 0"),
    ],
)
def test_says_what_is_wrong(tmp_path, capsys, words, message):
    given = ["--data", "fake", *SMALL, "--out", str(tmp_path), *words.split()]
    assert train.main(given) == 2
    out, err = capsys.readouterr()
    assert err.startswith("train.py: ") and message in err and err.count("\n") == 1 and out == ""


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_gpu_that_is_not_there(tmp_path, capsys):
    assert train.main(["--data", "fake", "--out", str(tmp_path), "--device", "cuda"]) == 2
    assert "device is cuda, but torch finds no CUDA device here" in capsys.readouterr().err


@pytest.mark.parametrize(
    "changes, error, message",
    [
        (dict(epochs=2.0), TypeError, r"epochs must be a whole number, got 2\.0"),
        (dict(epochs=True), TypeError, "epochs must be a whole number, got True"),
        (dict(lr="fast"), TypeError, "lr must be a number, got 'fast'"),
        (dict(amp=1), TypeError, "amp must be True or False, got 1"),
        (dict(seed=-1), ValueError, "seed must be at least 0, got -1"),
        (dict(seed=2**63), ValueError, "seed must be at most"),
        (dict(loss_options={"delta": "x"}), TypeError, "delta must be"),
        (dict(loss_options={"reduction": "sum"}), ValueError, "drsl has no option reduction"),
        (dict(width=0), ValueError, "width must be at least 1, got 0"),
    ],
)
def test_settings_are_checked(changes, error, message):
    with pytest.raises(error, match=message):
        Settings(**changes)


def test_settings_survive_a_file_and_name_what_differs():
    one = Settings(loss="fidi", loss_options={"alpha": 1.2}, max_seconds=3.0)
    assert Settings.from_dict(json.loads(json.dumps(one.to_dict()))) == one
    two = Settings(loss="fidi", loss_options={"alpha": 1.3}, max_seconds=3.0, workers=4, data="x")
    assert two.differences(one) == ["loss_options: {'alpha': 1.2} there, {'alpha': 1.3} here"]
    with pytest.raises(ValueError, match="settings must be known ones, got colour, size too"):
        Settings.from_dict({"size": 1, "colour": 2})


def test_a_whole_run(tmp_path, capsys):
    assert train.main(["--data", "fake", *SMALL, "--out", str(tmp_path / "a" / "b")]) == 0
    out, err = capsys.readouterr()
    folder = tmp_path / "a" / "b"
    assert sorted(p.name for p in folder.iterdir() if p.is_file()) == [
        "best.pt", "last.pt", "log.jsonl"
    ]  # fmt: skip
    best = max(lines(folder), key=lambda record: record["mAP"])
    assert out.startswith(f"best: epoch {best['epoch']}, mAP {100 * best['mAP']:.2f} %")
    assert err.count("\nepoch ") + err.startswith("epoch ") == 2
    saved = checkpoint.load(folder / "best.pt")
    assert saved["record"]["epoch"] == best["epoch"]


def test_the_lines_for_your_own_data(tmp_path, monkeypatch):
    """Those of the README, as they are there."""
    text = (HERE.parent / "examples" / "reid" / "README.md").read_text()
    (code,) = [one for one in re.findall(r"```python\n(.*?)```", text, re.S) if "runs/mine" in one]
    given = fake()
    names = {"ReidData": Data, "Settings": Settings, "Trainer": Trainer}
    names |= {"train": given.train, "query": given.query, "gallery": given.gallery}
    monkeypatch.chdir(tmp_path)
    exec(code, names)
    assert len(names["records"]) == Settings().epochs
    assert (tmp_path / "runs" / "mine" / "best.pt").exists()


def test_a_disk_that_fills_up(tmp_path, capsys, monkeypatch):
    """The second epoch's files do not reach the disk: status 1, and the first's are as they were."""
    kept, plain = {}, os.fsync

    def full(handle):
        if (tmp_path / "last.pt").exists() and len(lines(tmp_path)) == 2:
            kept.update({p.name: p.read_bytes() for p in tmp_path.glob("*.pt")})
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        plain(handle)

    given = ["--data", "fake", *SMALL, "--out", str(tmp_path)]
    monkeypatch.setattr(os, "fsync", full)
    assert train.main(given) == 1
    err = capsys.readouterr().err
    assert "No space left on device; the one written before is intact" in err
    assert {p.name: p.read_bytes() for p in tmp_path.glob("*.pt")} == kept
    assert not list(tmp_path.glob("*.part"))
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "data", reid_command)
    assert train.main([*given, "--resume"]) == 0
    assert len(lines(tmp_path)) == 2


def test_ctrl_c_and_going_on(tmp_path, capsys):
    """In a process of its own: status 130, how to go on, and the run that nothing had disturbed."""
    words = [*SMALL, "--epochs", "6", "--threads", "1"]
    child = subprocess.Popen(
        [*RUN, *words, "--out", str(tmp_path / "cut")], text=True, stderr=subprocess.PIPE,
        stdin=subprocess.PIPE, env={**os.environ, "REID_PAUSE": "90"},
    )  # fmt: skip
    first = child.stderr.readline()  # an epoch of 60 images is over
    child.send_signal(signal.SIGINT)
    err = first + child.stderr.readline() + child.stderr.readline()  # heard
    child.stdin.close()
    err += child.stderr.read()  # communicate() would lose what readline has taken beyond its line
    child.wait(timeout=600)
    assert child.returncode == 130, err
    assert "finishing this step; again to end at once" in err and "--resume goes on" in err
    assert "Traceback" not in err
    begun = state(tmp_path / "cut")["progress"]["epochs"]
    assert begun == 1
    main = ["--data", "fake", *words]
    assert train.main([*main, "--out", str(tmp_path / "cut"), "--resume"]) == 0
    assert (
        f"going on from {tmp_path / 'cut' / 'last.pt'}: {begun} epochs" in capsys.readouterr().err
    )
    assert train.main([*main, "--out", str(tmp_path / "whole")]) == 0
    same_state(state(tmp_path / "cut"), state(tmp_path / "whole"))
    assert numbers(lines(tmp_path / "cut")) == numbers(lines(tmp_path / "whole"))
