"""The example's evaluation: of a model, of saved features, of a checkpoint; the same numbers."""

import json

import numpy as np
import pytest
import torch

import reid_command
from drsl_cuda import metrics
from reid_kit import fake, trained
from training import evaluation, features
from training.log import METRICS

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def run(tmp_path_factory, one_thread):
    """A folder with a trained model, the trainer, and a file of its features."""
    folder = tmp_path_factory.mktemp("run")
    trainer = trained(folder, data="fake", epochs=2, id_loss=True)
    features.save_features(folder / "f.npz", features.of_data(trainer.model, fake()))
    return folder, trainer


def test_features(run):
    _, trainer = run
    data, net = fake(), trainer.model
    got = features.extract(net, data.query)
    assert got.dtype == torch.float32 and got.shape == (24, 256) and net.training
    torch.testing.assert_close(got.norm(dim=1), torch.ones(24))
    net.eval()
    with torch.no_grad():
        output = net(features.normalised(data.query.images))
    net.train()
    for options, wanted in (
        (dict(unit=False), output.features),
        (dict(unit=False, before_neck=True), output.embedding),
    ):
        # other batches, other order of sums in float32
        pieces = features.extract(net, data.query, batch=5, **options)
        torch.testing.assert_close(pieces, wanted, rtol=1e-4, atol=1e-5)
    assert torch.equal(features.extract(net, data.query, workers=2), got)


def test_the_protocol_is_the_metrics_module_s(run):
    _, trainer = run
    data = fake()
    q, g = (features.extract(trainer.model, s) for s in (data.query, data.gallery))
    wanted = metrics.evaluate(
        q, data.query.identities, data.query.cameras,
        g, data.gallery.identities, data.gallery.cameras,
        junk_ids=data.junk_ids, distractor_ids=data.distractor_ids,
    )  # fmt: skip
    record = trainer.records[-1]
    assert record["mAP"] == wanted.mAP and record["mINP"] == wanted.mINP
    assert [record[f"rank{r}"] for r in (1, 5, 10)] == wanted.cmc[[0, 4, 9]].tolist()
    assert trainer.evaluate() == {key: record[key] for key in METRICS}


def test_junk_and_distractors_are_told(run):
    folder, trainer = run
    found = features.of_data(trainer.model, fake())
    plain = evaluation.numbers(evaluation.evaluation(found))
    found["junk_ids"] = (-1, 3)
    assert evaluation.numbers(evaluation.evaluation(found)) != plain
    features.save_features(folder / "junk.npz", found)
    assert features.read_features(folder / "junk.npz")["junk_ids"] == (-1, 3)


def command(capsys, monkeypatch, *words):
    monkeypatch.setitem(__import__("sys").modules, "data", reid_command)
    import evaluate

    status = evaluate.main(list(words))
    return status, *capsys.readouterr()


def test_three_ways_to_the_same_numbers(run, capsys, monkeypatch):
    folder, trainer = run
    want = {key: trainer.records[-1][key] for key in METRICS} | {"queries": 24, "of": 24}
    last, saved = str(folder / "last.pt"), str(folder / "again.npz")
    for words in (
        (last, "--data", "fake", "--json", "--save-features", saved),
        (last, "--json", "--workers", "1"),  # the run's own data
        ("--features", saved, "--json"),
        ("--features", str(folder / "f.npz"), "--json"),
    ):
        status, out, _ = command(capsys, monkeypatch, *words)
        assert status == 0 and json.loads(out) == want
    status, out, _ = command(capsys, monkeypatch, last, "--before-neck", "--json")
    other = evaluation.evaluate(trainer.model, fake(), before_neck=True)
    assert {key: json.loads(out)[key] for key in METRICS} == other != trainer.evaluate()
    status, out, _ = command(capsys, monkeypatch, str(folder / "best.pt"))
    assert status == 0 and out.startswith(f"mAP {100 * trainer.best['mAP']:.2f} %  mINP ")


@pytest.mark.parametrize(
    "words, message",
    [
        ([], "give a checkpoint or --features FILE, one of the two"),
        (["{}/last.pt", "--features", "f"], "give a checkpoint or --features FILE, one of the two"),
        (["--features", "{}/f.npz", "--data", "x"], "--data goes with a checkpoint"),
        (["--features", "{}/f.npz", "--save-features", "x"], "--save-features goes with a"),
        (["--features", "{}/f.npz", "--before-neck"], "--before-neck goes with a checkpoint"),
        (["{}/none.pt"], "none.pt: no such file"),
        (["{}/f.npz"], "f.npz cannot be read as a file of tensors and plain types"),
        (["{}/plain.pt"], "plain.pt is not a checkpoint of this trainer"),
        (["{}/old.pt"], "old.pt has format 0, this trainer reads 1"),
        (["{}/part.pt"], "part.pt lacks size: it is no state to go on from"),
        (["{}/other.pt"], "other.pt does not hold a small: "),
        (["{}/last.pt", "--data", "none"], "data must be fake, got 'none'"),
        (["{}/last.pt", "--batch", "0"], "--batch must be at least 1, got 0"),
        (["{}/last.pt", "--device", "tpu"], "device must be auto, cpu or cuda, got 'tpu'"),
        (["{}/last.pt", "--save-features", "{}/f.npz/x"], "cannot write"),
    ],
)
def test_says_what_is_wrong(run, capsys, monkeypatch, words, message):
    folder, _ = run
    saved = torch.load(folder / "last.pt", weights_only=True)
    for name, changed in (
        ("plain", {"a": 1}),
        ("old", {**saved, "format": 0}),
        ("part", {k: v for k, v in saved.items() if k != "size"}),
        ("other", {**saved, "model": {"x": torch.zeros(1)}}),
    ):
        torch.save(changed, folder / f"{name}.pt")
    words = [word.format(folder) for word in words]
    status, out, err = command(capsys, monkeypatch, *words)
    assert (status, out) == (2, "")
    assert err.startswith("evaluate.py: ") and message in err and err.count("\n") == 1


def arrays():
    return {
        "query": np.zeros((2, 3)), "query_ids": np.arange(2), "query_cams": np.zeros(2, int),
        "gallery": np.zeros((4, 3)), "gallery_ids": np.arange(4), "gallery_cams": np.ones(4, int),
    }  # fmt: skip


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda a: a.pop("query_ids"), "must hold query, .*; it lacks query_ids"),
        (lambda a: a.update(query=np.zeros(2)), r"query must have shape \[N, D\], got \[2\]"),
        (
            lambda a: a.update(gallery_cams=np.zeros(3, int)),
            r"gallery_cams must have shape \[4\], a number for each row of gallery, got \[3\]",
        ),
        (lambda a: a.update(query_ids=np.array([{}, 1])), "cannot be read as an .npz of plain"),
    ],
)
def test_features_that_do_not_fit(tmp_path, change, message):
    given = arrays()
    np.savez(tmp_path / "good.npz", **given)
    found = features.read_features(tmp_path / "good.npz")
    assert found["junk_ids"] == (-1,) and found["distractor_ids"] == (
        0,
    )  # as published sets have them
    change(given)
    np.savez(tmp_path / "bad.npz", **given)
    with pytest.raises(ValueError, match=f"bad.npz.* {message}"):
        features.read_features(tmp_path / "bad.npz")


def test_files_that_are_no_features(tmp_path):
    with pytest.raises(ValueError, match=r"none.npz: no such file"):
        features.read_features(tmp_path / "none.npz")
    np.save(tmp_path / "one.npy", np.zeros(3))
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "cut.npz", **arrays())
    data = (tmp_path / "cut.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(data[: len(data) // 2])
    for name in ("one.npy", "text.npz", "cut.npz"):
        with pytest.raises(ValueError, match=f"{name} cannot be read as an .npz of plain arrays"):
            features.read_features(tmp_path / name)
