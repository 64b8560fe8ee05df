"""The example's training loop: every loss learns, what it says is true, what is wrong is refused."""

import itertools
import json
import math
import sys
import time
from types import SimpleNamespace

import pytest
import torch

from reid_kit import Data, Images, fake, numbers, settings, split, trained
from training import batches, loop, losses, step
from training.log import METRICS, Log, summary
from training.loop import Trainer
from training.schedule import learning_rate
from training.step import NotFinite

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("loss", losses.NAMES)
def test_every_loss_learns(loss):
    trainer = Trainer(fake(), settings(loss=loss, epochs=8), quiet=True)
    untrained = trainer.evaluate()
    records = trainer.run()
    assert [r["epoch"] for r in records] == list(range(1, 9))
    # Measured: 0.17 untrained, 0.26 (fidi) to 0.33 after 8 epochs; half of the least gain is asked.
    assert records[-1]["mAP"] > untrained["mAP"] + 0.04
    first, last = (sum(r["terms"][loss] for r in part) for part in (records[:2], records[-2:]))
    assert last < first * (0.95 if loss == "fidi" else 0.75)


def test_the_identity_loss_learns_too():
    records = trained(id_loss=True, epochs=5).records
    assert records[0]["terms"]["id"] == pytest.approx(
        math.log(10), rel=0.15
    )  # it starts from chance
    assert records[-1]["terms"]["id"] < 0.85 * records[0]["terms"]["id"]


def test_a_record(tmp_path):
    seen = []

    class Watcher:
        def on_epoch(self, record, model):
            seen.append((record, model.training))

    trainer = trained(
        tmp_path,
        callbacks=[Watcher(), lambda r, m: seen.append((r, m))],
        evaluate_every=2,
        epochs=3,
    )
    first, second, third = trainer.records
    assert [seen[i][0] for i in (0, 2, 4)] == trainer.records
    assert seen[1][1] is trainer.model
    assert "mAP" not in first and set(METRICS) <= set(second) & set(third)  # the last one always
    assert set(first["terms"]) == {"drsl", "ranking", "sorting", "angle"}
    assert first["terms"]["drsl"] == pytest.approx(
        sum(first["terms"][k] for k in ("ranking", "sorting", "angle")), rel=1e-5
    )  # float32 sums of 5 steps
    assert first["steps"] == 5 and first["images"] == 60
    assert first["images_per_second"] == pytest.approx(60 / first["seconds"])
    assert third["elapsed"] >= sum(r["seconds"] for r in trainer.records) * 0.999
    logged = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert logged == trainer.records
    for record in logged:
        assert f"epoch {record['epoch']}/3" in summary(record, 3)


def test_the_time_of_the_loss_is_the_loss_alone():
    trainer = Trainer(fake(), settings(epochs=1), quiet=True)
    plain = trainer.step.criterion

    def slow(*arguments):
        time.sleep(0.05)
        return plain(*arguments)

    trainer.step.criterion = slow
    trainer.step.network = _Slowly(trainer.step.network)
    (record,) = trainer.run()
    spent = record["loss_share"] * record["seconds"]
    assert spent >= 5 * 0.05
    assert record["seconds"] - spent >= 5 * 0.1  # the model's time is not in it


class _Slowly(torch.nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, images):
        time.sleep(0.1)
        return self.net(images)


def test_the_loss_apart_changes_no_gradient():
    """Against one backward through everything."""
    trainer = Trainer(fake(), settings(id_loss=True), quiet=True)
    images = torch.randn(12, 3, 16, 8)
    identities = torch.arange(12) // 3
    for _ in range(2):  # what the step before left is gone
        _, pairs = trainer.step.forward(images, identities, identities)
        trainer.step.update(pairs, lr=0.0)
    apart = [p.grad.clone() for p in trainer.model.parameters() if p.requires_grad]
    trainer.model.zero_grad()
    trainer.step.criterion(trainer.model(images), identities, identities).total.backward()
    whole = [p.grad for p in trainer.model.parameters() if p.requires_grad]
    largest = max(float(g.abs().max()) for g in whole)
    for a, b in zip(apart, whole, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6 * largest)  # float32, sums reordered


@pytest.mark.filterwarnings("ignore:TF32 acceleration")  # of another device
@pytest.mark.parametrize("amp", [False, True])
def test_mixed_precision_trains(amp):
    # Not by oneDNN: where there is AMX its bfloat16 convolution (of torch 2.13) of pictures as small as
    # 4 × 2 takes in memory that nobody has written.
    with torch.backends.mkldnn.flags(enabled=False):
        _mixed_precision_trains(amp)


def _mixed_precision_trains(amp):
    trainer = Trainer(fake(), settings(amp=amp, epochs=5), quiet=True)
    seen = set()
    convolution = next(m for m in trainer.model.modules() if isinstance(m, torch.nn.Conv2d))
    convolution.register_forward_hook(lambda m, i, o: seen.add(o.dtype) if m.training else None)
    records = trainer.run()
    assert seen == {torch.bfloat16 if amp else torch.float32}
    assert records[-1]["terms"]["drsl"] < records[0]["terms"]["drsl"]


def test_a_time_limit_ends_the_run_and_the_cosine(monkeypatch):
    clock = itertools.count(7.0, 0.02)  # a step, and the little around an epoch, takes so long
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=clock.__next__))
    records = trained(epochs=10_000, max_seconds=0.8, evaluate_every=0).records
    assert 0.8 <= records[-1]["elapsed"] < 0.85
    assert "mAP" in records[-1]
    assert records[-1]["lr"] < 0.02 * 2e-3  # it ends at 0.01 of the first


def test_the_learning_rate():
    s = settings(epochs=10, warmup=2.0, lr=1.0, final_lr=0.1)
    rates = [learning_rate(s, 5, i, 0.0) for i in range(51)]
    assert rates[0] == pytest.approx(0.1) and rates[5] == pytest.approx(0.55)
    assert rates[10] == pytest.approx(1.0) and rates[30] == pytest.approx(0.55)
    assert rates[50] == pytest.approx(0.1)
    assert rates == sorted(rates[:11]) + sorted(rates[11:], reverse=True)
    timed = settings(epochs=10, warmup=0.0, lr=1.0, final_lr=0.0, max_seconds=8.0)
    assert learning_rate(timed, 5, 0, 4.0) == pytest.approx(0.5)
    assert learning_rate(timed, 5, 25, 1.0) == pytest.approx(0.5)
    assert learning_rate(settings(epochs=1, warmup=9.0, lr=1.0), 5, 4, 0.0) == pytest.approx(0.82)


def test_every_epoch_has_all_images_in_an_order_of_its_own(monkeypatch):
    seen, plain = {}, batches.prepared

    def prepared(images, places, settings, epoch, device):
        seen.setdefault(epoch, []).extend(places.tolist())
        return plain(images, places, settings, epoch, device)

    monkeypatch.setattr(batches, "prepared", prepared)
    trained(epochs=3)
    assert [set(places) for places in seen.values()] == [set(range(50))] * 3
    assert list(seen) == [0, 1, 2] and len({str(places) for places in seen.values()}) == 3


def test_workers_change_nothing():
    plain, spread = trained(epochs=1), trained(epochs=1, workers=2)
    assert numbers(plain.records) == numbers(spread.records)


@pytest.mark.parametrize("broken", ["model", "loss"])
def test_a_loss_that_is_not_finite_ends_training(tmp_path, broken):
    trainer = Trainer(fake(), settings(epochs=3), tmp_path, quiet=True)
    plain, done = trainer.step.forward, []

    def forward(images, *labels):
        done.append(1)
        if len(done) == 8:
            if broken == "model":
                next(trainer.model.parameters()).data[0] = math.nan
            else:
                parts, pairs = plain(images, *labels)
                return {**parts, "drsl": torch.tensor(math.inf)}, pairs
        return plain(images, *labels)

    trainer.step.forward = forward
    cause = (
        "output is not finite: .*--lr" if broken == "model" else "longest row .*options of the loss"
    )
    with pytest.raises(NotFinite, match=rf"drsl.* is not finite at step 3 of epoch 2, .*{cause}"):
        trainer.run()
    assert len(done) == 8  # at once
    assert all(
        t.isfinite().all()
        for t in torch.load(tmp_path / "last.pt", weights_only=True)["model"].values()
    )


def test_looking_less_often_changes_nothing(monkeypatch, tmp_path):
    """As on a GPU, where the host reads the numbers of several steps at once."""
    every_step = trained().records
    monkeypatch.setitem(loop._LOOK, "cpu", 3)
    assert numbers(trained().records) == numbers(every_step)
    trainer = Trainer(fake(), settings(), tmp_path, quiet=True)
    plain, done = trainer.step.forward, []

    def forward(images, *labels):
        done.append(1)
        parts, pairs = plain(images, *labels)
        return ({**parts, "drsl": torch.tensor(math.nan)} if len(done) == 4 else parts), pairs

    trainer.step.forward = forward
    with pytest.raises(NotFinite, match="drsl is not finite at step 4 of epoch 1"):
        trainer.run()
    assert len(done) == 5 and not (tmp_path / "last.pt").exists()


def test_weights_that_are_not_finite_are_not_saved():
    net = torch.nn.Linear(2, 2)
    step.refuse_broken(net, 1)
    net.weight.data[0, 0] = math.inf
    with pytest.raises(NotFinite, match="weight of the model is not finite after epoch 4"):
        step.refuse_broken(net, 4)


def test_null_stands_for_nan(tmp_path):
    log = Log(tmp_path, [])
    log.add({"epoch": 1, "terms": {}, "mAP": math.nan})
    log.close()
    assert json.loads((tmp_path / "log.jsonl").read_text())["mAP"] is None


def test_tensorboard_shows_the_record(tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    trained(tmp_path, epochs=1)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert {"mAP", "lr", "drsl"} <= set(board.Tags()["scalars"])


def test_without_tensorboard_nothing_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    trained(tmp_path, epochs=1)
    assert not (tmp_path / "tensorboard").exists()


def test_a_used_folder_is_not_overwritten(tmp_path):
    trained(tmp_path, epochs=1)
    with pytest.raises(ValueError, match=r"last.pt is of a run: --resume goes on .*--out"):
        trained(tmp_path, epochs=1)


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(lr=0.1), "lr: 0.002 there, 0.1 here"),
        (dict(loss="fidi"), "loss: 'drsl' there, 'fidi' here"),
        (dict(loss_options={"delta": 0.1}), r"loss_options: \{\} there, \{'delta': 0.1\} here"),
        (dict(of=fake(seed=5)), r"data: fake \(50 images of 3 x 16 x 8, check \w+\) there, fake"),
        (dict(epochs=3, seed=9), "epochs: 1 there, 3 here; seed: 0 there, 9 here"),
    ],
)
def test_going_on_with_other_settings_is_refused(tmp_path, changes, message):
    trained(tmp_path, epochs=1)
    changes = dict(changes)
    of = changes.pop("of", None)
    with pytest.raises(ValueError, match=f"last.pt is of another run: {message}"):
        trained(tmp_path, of, **{"epochs": 1, **changes}, resume=True)


def test_what_does_not_matter_may_change(tmp_path):
    trained(tmp_path, epochs=1)
    trained(tmp_path, epochs=1, workers=1, evaluate_every=0, resume=True)


def test_one_identity_is_refused():
    data = Data("one", split(1, 6, 0), split(2, 2, 0), split(2, 2, 0))
    with pytest.raises(ValueError, match="train must have two identities or more, got 1"):
        Trainer(data, settings(), quiet=True)


def test_fewer_identities_and_images_than_a_batch_wants():
    numbers_of = torch.tensor([5, 5, 9])  # two of one, one of another
    data = Data("few", Images(numbers_of, torch.zeros(3).long(), 0), split(4, 2, 1), split(4, 4, 1))
    (record,) = trained(of=data, epochs=1, per_batch=16, per_identity=4).records
    assert record["images"] == 8 and record["steps"] == 1


def test_a_bar_says_what_goes_on(capsys):
    Trainer(fake(), settings(epochs=1, evaluate_every=0), progress=True).run()
    shown = capsys.readouterr().err
    assert "1/1 [####" in shown and "/5  drsl 0." in shown and "% of time" in shown
    assert shown.endswith("% of time\n")  # the line of the epoch, the bar is gone
