"""A run that was cut off, however, comes out as one that was not: the same bits."""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from reid_kit import fake, lines, numbers, same_state, settings, state, trained, without_clock
from training import checkpoint
from training.checkpoint import WriteError
from training.interrupt import Interrupt, Stopped
from training.loop import Trainer

EXAMPLE = Path(__file__).parent.parent / "examples" / "reid"
pytestmark = pytest.mark.usefixtures("one_thread")


class Chancy(torch.nn.Module):
    """A model that draws random numbers as it goes, as one with dropout does."""

    def __init__(self, classes, net):
        super().__init__()
        self.net = net

    def forward(self, images):
        return self.net(torch.nn.functional.dropout(images, 0.1, self.training))


def network():
    torch.manual_seed(0)
    from training import model

    return Chancy(10, model.build("small", classes=10))


@pytest.fixture(scope="module")
def whole(tmp_path_factory, one_thread):
    """A run of four epochs of five steps that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    trained(folder, network=network(), epochs=4, id_loss=True)
    return folder


def go_on(folder, **options):
    trained(folder, network=network(), epochs=4, id_loss=True, resume=True, **options)


def same_run(folder, whole):
    same_state(state(folder), state(whole))
    assert numbers(lines(folder)) == numbers(lines(whole))
    assert [record["epoch"] for record in lines(folder)] == [1, 2, 3, 4]
    best = [without_clock(checkpoint.load(f / "best.pt")) for f in (folder, whole)]
    same_state(*best)


def test_the_same_run_twice(whole, tmp_path):
    trained(tmp_path, network=network(), epochs=4, id_loss=True)
    same_run(tmp_path, whole)


def test_another_seed_is_another_run(whole, tmp_path):
    trained(tmp_path, network=network(), epochs=1, id_loss=True, seed=1)
    assert numbers(lines(tmp_path))[0] != numbers(lines(whole))[0]


def test_after_an_exception(whole, tmp_path):
    def broken(record, model):
        random.random(), torch.rand(1)  # a callback's own draws change nothing
        model.eval()
        if record["epoch"] == 2:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        trained(tmp_path, network=network(), epochs=4, id_loss=True, callbacks=[broken])
    assert state(tmp_path)["progress"]["epochs"] == 2
    go_on(tmp_path)
    same_run(tmp_path, whole)


@pytest.mark.parametrize("steps", [1, 5, 8])
def test_in_the_middle_of_an_epoch(whole, tmp_path, steps):
    trainer = Trainer(
        fake(), settings(epochs=4, id_loss=True), tmp_path, quiet=True, network=network()
    )
    update, done = trainer.step.update, []

    def signalled(*arguments):
        update(*arguments)
        done.append(1)
        if len(done) == steps:
            os.kill(os.getpid(), signal.SIGINT)

    trainer.step.update = signalled
    with pytest.raises(Stopped, match=r"last.pt is saved: --resume goes on from there"):
        trainer.run()
    saved = state(tmp_path)
    assert saved["progress"]["epochs"] == (steps - 1) // 5
    assert saved["sampler"]["position"] == (steps - 1) % 5 + 1
    go_on(tmp_path)
    same_run(tmp_path, whole)


def test_interrupted_between_epochs(whole, tmp_path):
    def press(record, model):
        if record["epoch"] == 3:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Stopped, match=r"last.pt is saved: --resume goes on from there"):
        trained(tmp_path, network=network(), epochs=4, id_loss=True, callbacks=[press])
    go_on(tmp_path)
    same_run(tmp_path, whole)


def test_killed_again_and_again(whole, tmp_path):
    """SIGKILL at any time: the file is whole, and at most one epoch is done again.

    Every child stops behind its first epoch and waits for the signal there, so that each machine,
    however fast, has children to kill: at work, at writing or at waiting.
    """
    generator = random.Random(7)
    begun = kills = 0
    for _ in range(40):

        def wait(record, model, last=begun + 1):
            if last == record["epoch"] < 4:
                time.sleep(600)

        child = os.fork()
        if child == 0:
            try:
                go_on(tmp_path, callbacks=[wait])
                os._exit(0)
            finally:
                os._exit(1)
        time.sleep(generator.uniform(0.02, 0.5))
        ended, status = os.waitpid(child, os.WNOHANG)
        if not ended:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            kills += 1
        assert not ended or status == 0
        logged = len(lines(tmp_path)) if (tmp_path / "log.jsonl").exists() else 0
        done = state(tmp_path)["progress"]["epochs"] if (tmp_path / "last.pt").exists() else 0
        assert done >= begun  # nothing that was saved is lost
        assert logged - 1 <= done <= logged
        begun = done
        if ended:
            break
    assert kills >= 3
    go_on(tmp_path)
    same_run(tmp_path, whole)


def test_lines_behind_the_checkpoint_are_dropped(whole, tmp_path):
    with pytest.raises(SystemExit):
        trained(tmp_path, network=network(), epochs=4, id_loss=True, callbacks=[_stop_after(2)])
    with open(tmp_path / "log.jsonl", "a") as file:
        file.write('{"epoch": 3, "terms": {}}\n{"epoch": 4, "te')  # killed while it wrote
    go_on(tmp_path)
    same_run(tmp_path, whole)


def _stop_after(epoch):
    def callback(record, model):
        if record["epoch"] == epoch:
            raise SystemExit

    return callback


def test_a_finished_run_is_left_as_it_is(whole):
    before = (whole / "last.pt").read_bytes()
    trainer = trained(whole, network=network(), epochs=4, id_loss=True, resume=True)
    assert (whole / "last.pt").read_bytes() == before
    assert numbers(trainer.records) == numbers(lines(whole))
    assert trainer.best == max(trainer.records, key=lambda record: record["mAP"])


def test_the_second_signal_ends_at_once():
    code = (
        "import os, signal, sys\n"
        f"sys.path.insert(0, {str(EXAMPLE)!r})\n"
        "from training import interrupt\n"
        "interrupt.time.monotonic = lambda: now\n"
        "with interrupt.Interrupt() as i:\n"
        "    for now in (7.0, 7.2):  # the same one, said twice\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "    print('asked', i.asked, flush=True)\n"
        "    now = 7.4\n"
        "    os.kill(os.getpid(), signal.SIGINT); print('still here')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGINT and done.stdout == "asked True\n"
    assert done.stderr.count("finishing this step; again to end at once") == 1


def test_handlers_are_put_back():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Interrupt():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_on_the_disk_before_it_counts(tmp_path, monkeypatch):
    """The new file, then its name: what is replaced too early is empty after a power cut."""
    done, fsync, replace = [], os.fsync, os.replace

    def synced(handle):
        done.append(("sync", Path(os.readlink(f"/proc/self/fd/{handle}"))))
        fsync(handle)

    def replaced(old, new):
        done.append(("replace", Path(old), Path(new)))
        replace(old, new)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    checkpoint.write(tmp_path / "a", b"new")
    part = tmp_path / "a.part"
    assert done == [("sync", part), ("replace", part, tmp_path / "a"), ("sync", tmp_path)]
    assert (tmp_path / "a").read_bytes() == b"new"


def test_a_full_disk(tmp_path):
    """No file may grow beyond a limit: writes fail in the middle, as on a full disk."""
    trained(tmp_path, epochs=2, callbacks=[])
    before = (tmp_path / "last.pt").read_bytes()
    saved = checkpoint.load(tmp_path / "last.pt")
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    heard = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    try:
        with pytest.raises(WriteError) as caught:
            checkpoint.save(tmp_path / "last.pt", saved)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        signal.signal(signal.SIGXFSZ, heard)
    message = str(caught.value)
    assert f"cannot write {tmp_path / 'last.pt'}" in message and "File too large" in message
    assert "the one written before is intact" in message
    assert (tmp_path / "last.pt").read_bytes() == before
    assert not list(tmp_path.glob("*.part"))


def test_what_is_no_state_is_refused(whole, tmp_path):
    def attempt(data):
        (tmp_path / "last.pt").write_bytes(data)
        Trainer(fake(), settings(), tmp_path, resume=True, quiet=True)

    saved = (whole / "last.pt").read_bytes()
    with pytest.raises(ValueError, match=r"last.pt cannot be read as a file of tensors"):
        attempt(saved[: len(saved) // 2])
    with pytest.raises(ValueError, match=r"last.pt lacks ranks, optimizer, .* no state to go on"):
        attempt((whole / "best.pt").read_bytes())


def test_other_threads_are_told(tmp_path, capsys):
    trained(tmp_path, epochs=1)
    saved = checkpoint.load(tmp_path / "last.pt")
    saved.pop("format")
    checkpoint.save(tmp_path / "last.pt", {**saved, "threads": 5})
    Trainer(fake(), settings(epochs=1), tmp_path, resume=True)
    err = capsys.readouterr().err
    assert "warning: threads was 5 and is 1: numbers may differ in their last digits" in err
    assert "going on from" in err and "1 epochs, 0 steps" in err
