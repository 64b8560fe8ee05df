"""docs/trainers.md, line by line: its changes are applied to stand-ins of the trainers, and run."""

import importlib
import re
import sys
from pathlib import Path
from types import SimpleNamespace as Settings

import pytest
import torch
from torch.nn.functional import cross_entropy

import drsl_cuda
from documents import apply, blocks
from drsl_cuda import functional
from tolerances import F64, SAME, assert_close

STANDINS = Path(__file__).parent / "trainers"
MAKE_LOSS = {"loss/__init__.py": None, "loss/triplet_loss.py": "triplet_loss"}
TREES = {
    "reid-strong-baseline": {
        "layers/triplet_loss.py": "triplet_loss",
        "layers/__init__.py": "strong_baseline",
    },
    "TransReID": MAKE_LOSS | {"loss/make_loss.py": "transreid"},
    "SOLIDER": MAKE_LOSS | {"loss/make_loss.py": "solider"},
    "CLIP-ReID": MAKE_LOSS | {"loss/make_loss.py": "clipreid"},
    "fast-reid": {
        "fastreid/__init__.py": None,
        "fastreid/modeling/__init__.py": None,
        "fastreid/modeling/losses/triplet_loss.py": "fastreid_triplet_loss",
        "fastreid/modeling/losses/__init__.py": "fastreid_losses",
        "fastreid/modeling/meta_arch/__init__.py": None,
        "fastreid/modeling/meta_arch/baseline.py": "fastreid_baseline",
    },
    "pytorch-metric-learning": {"train.py": "pml_train"},
}
DIFFS = {block.section: block.code for block in blocks("trainers.md") if block.kind == "diff"}
LOSSES = {
    "DRSLLoss": functional.drsl_loss,
    "FIDILoss": functional.fidi_loss,
    "SmoothAPLoss": functional.smooth_ap_loss,
    "BatchHardTripletLoss": functional.batch_hard_triplet_loss,
}
EVERY_LOSS = pytest.mark.parametrize("loss", LOSSES)


def features(*dims, size=16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    made = [torch.randn(size, dim, generator=generator, dtype=F64) for dim in dims]
    return [x.requires_grad_() for x in made], torch.arange(size) % 4


@pytest.fixture
def trainer(tmp_path, monkeypatch):
    """trainer(name, module, loss): a module of a stand-in, changed as documented, or not (None)."""

    def forget():
        for old in [*sys.modules]:
            if old.split(".")[0] in ("loss", "layers", "fastreid", "train"):
                del sys.modules[old]

    def build(name, module, loss):
        root = tmp_path / f"{name}-{loss}"
        for path, standin in TREES[name].items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text((STANDINS / f"{standin}.py").read_text() if standin else "")
        if loss is not None:
            apply(DIFFS[name].replace("DRSLLoss", loss), root)
        forget()
        monkeypatch.syspath_prepend(root)
        importlib.invalidate_caches()
        return importlib.import_module(module)

    yield build
    forget()


def settings(**changed):
    model = {
        "METRIC_LOSS_TYPE": "triplet",
        "NO_MARGIN": False,
        "IF_LABELSMOOTH": "off",
        "ID_LOSS_WEIGHT": 1.0,
        "TRIPLET_LOSS_WEIGHT": 0.7,
        "I2T_LOSS_WEIGHT": 0.5,
    }
    solver = {"MARGIN": 0.3, "TRP_L2": False}
    for part in (model, solver):
        part.update({k: v for k, v in changed.items() if k in part})
    return Settings(MODEL=Settings(**model), SOLVER=Settings(**solver))


def same_step(loss, wanted, leaves):
    assert_close(loss, wanted, SAME[F64].loss)
    got, right = torch.autograd.grad(loss, leaves), torch.autograd.grad(wanted, leaves)
    for mine, theirs in zip(got, right, strict=True):
        assert theirs.any()
        assert_close(mine, theirs, SAME[F64].grad)


# ------------------------------------------------------------------------- make_loss


@EVERY_LOSS
def test_reid_strong_baseline(loss, trainer):
    (score, feat), labels = features(4, 12)
    step = trainer("reid-strong-baseline", "layers", loss).make_loss(settings(), 4)
    wanted = cross_entropy(score, labels) + LOSSES[loss](feat, labels)
    same_step(step(score, feat, labels), wanted, [score, feat])


@EVERY_LOSS
@pytest.mark.parametrize("no_margin", [False, True])
def test_transreid(loss, no_margin, trainer):
    made = trainer("TransReID", "loss.make_loss", loss).make_loss(settings(NO_MARGIN=no_margin), 4)
    (score, feat), labels = features(4, 12)
    wanted = cross_entropy(score, labels) + 0.7 * LOSSES[loss](feat, labels)
    same_step(made[0](score, feat, labels, None), wanted, [score, feat])

    (*scores, a, b, c), labels = features(4, 4, 4, 12, 12, 12, seed=1)
    triplets = [LOSSES[loss](x, labels) for x in (a, b, c)]
    ids = [cross_entropy(x, labels) for x in scores]
    wanted = 0.5 * (ids[0] + (ids[1] + ids[2]) / 2)
    wanted = wanted + 0.7 * 0.5 * (triplets[0] + (triplets[1] + triplets[2]) / 2)
    same_step(made[0](scores, [a, b, c], labels, None), wanted, [*scores, a, b, c])


@EVERY_LOSS
@pytest.mark.parametrize("unit", [False, True])
def test_solider(loss, unit, trainer):
    made = trainer("SOLIDER", "loss.make_loss", loss).make_loss(settings(TRP_L2=unit), 4)
    (score, feat), labels = features(4, 12)
    wanted = cross_entropy(score, labels) + 0.7 * LOSSES[loss](feat, labels, normalize=unit)
    same_step(made[0](score, feat, labels, None), wanted, [score, feat])


@EVERY_LOSS
def test_clip_reid(loss, trainer):
    made = trainer("CLIP-ReID", "loss.make_loss", loss).make_loss(settings(), 4)
    (s, t, image, a, b, c), labels = features(4, 4, 4, 12, 12, 8)
    wanted = cross_entropy(s, labels) + cross_entropy(t, labels)
    wanted = wanted + 0.7 * sum(LOSSES[loss](x, labels) for x in (a, b, c))
    wanted = wanted + 0.5 * cross_entropy(image, labels)
    same_step(made[0]([s, t], [a, b, c], labels, None, image), wanted, [s, t, image, a, b, c])


@EVERY_LOSS
@pytest.mark.parametrize("norm_feat", [False, True])
def test_fast_reid(loss, norm_feat, trainer):
    baseline = trainer("fast-reid", "fastreid.modeling.meta_arch.baseline", loss).Baseline
    triplet = {"margin": 0.3, "norm_feat": norm_feat, "hard_mining": True, "scale": 2.0}
    model = baseline({"loss_names": ("TripletLoss",), "tri": triplet})
    (feat,), labels = features(12)
    found = model.losses({"features": feat}, labels)
    wanted = 2 * LOSSES[loss](feat, labels, normalize=norm_feat)
    same_step(found["loss_triplet"], wanted, [feat])


@pytest.mark.parametrize(
    "name, module",
    [
        ("reid-strong-baseline", "layers"),
        ("TransReID", "loss.make_loss"),
        ("SOLIDER", "loss.make_loss"),
        ("CLIP-ReID", "loss.make_loss"),
    ],
)
def test_the_batch_hard_triplet_gives_what_the_trainer_had(name, module, trainer):
    (s, t, a, b), labels = features(4, 4, 12, 12)
    lists = name in ("TransReID", "CLIP-ReID")
    call = ([s, t], [a, b], labels) if lists else (s, a, labels)
    call = call if name == "reid-strong-baseline" else (*call, None)
    leaves = [s, t, a, b] if lists else [s, a]
    before, after = (
        trainer(name, module, loss).make_loss(settings(), 4)
        for loss in (None, "BatchHardTripletLoss")
    )
    steps = [made if name == "reid-strong-baseline" else made[0] for made in (before, after)]
    same_step(steps[1](*call), steps[0](*call), leaves)


@pytest.mark.parametrize("norm_feat", [False, True])
def test_the_batch_hard_triplet_gives_what_fast_reid_had(norm_feat, trainer):
    triplet = {"margin": 0.3, "norm_feat": norm_feat, "hard_mining": True, "scale": 2.0}
    (feat,), labels = features(12)
    wanted, got = (
        trainer("fast-reid", "fastreid.modeling.meta_arch.baseline", loss)
        .Baseline({"loss_names": ("TripletLoss",), "tri": triplet})
        .losses({"features": feat}, labels)["loss_triplet"]
        for loss in (None, "BatchHardTripletLoss")
    )
    same_step(got, wanted, [feat])


# ------------------------------------------------------------------------- the rest of the document


@EVERY_LOSS
def test_pytorch_metric_learning(loss, trainer):
    pytest.importorskip("pytorch_metric_learning")
    (embeddings,), labels = features(12)
    wanted = LOSSES[loss](embeddings, labels)
    module = trainer("pytorch-metric-learning", "train", loss)
    same_step(module.step(embeddings, labels), wanted, [embeddings])


def run(section, names):
    """Runs the Python blocks of a section, one after the other, on these names."""
    code = [b.code for b in blocks("trainers.md") if (b.section, b.kind) == (section, "python")]
    assert code
    for part in code:
        exec(part, names)
        yield names


def test_parts_in_one_call():
    (*feat,), target = features(12, 12, 12)
    triplet = importlib.import_module("drsl_cuda.integrations.reid").AsTriplet(drsl_cuda.DRSLLoss())
    (names,) = run("TransReID", {"triplet": triplet, "feat": feat, "target": target})
    parts = [functional.drsl_loss(x, target) for x in feat]
    same_step(names["TRI_LOSS"], 0.5 * (parts[1] + parts[2]) / 2 + 0.5 * parts[0], feat)


def test_the_code_for_pytorch_metric_learning():
    pytest.importorskip("pytorch_metric_learning")
    (embeddings,), labels = features(128, size=32)
    (names,) = run("pytorch-metric-learning", {"embeddings": embeddings, "labels": labels})
    same_step(names["loss"], functional.drsl_loss(embeddings, labels, embeddings.detach(), labels,
              self_index=torch.arange(32)), [embeddings])  # fmt: skip


def test_the_code_for_a_memory_bank():
    (embeddings,), labels = features(128, size=32)
    names = {"embeddings": embeddings.float(), "labels": labels}
    steps = run("A memory bank", names)
    next(steps)
    wanted = functional.drsl_loss(names["embeddings"], labels)
    assert_close(names["loss"], wanted, SAME[torch.float32].loss)
    names["bank"].clear()
    next(steps)  # with a bank of its own, as a first step
    assert names["loss"] == 0 and not embeddings.grad.any()
    assert names["bank"].filled == 32
    *_, second = [b.code for b in blocks("trainers.md") if b.section == "A memory bank"]
    exec(second.split("\n\n")[1], names)
    assert names["loss"] > 0 and embeddings.grad.any()
    assert names["bank"].filled == 64


def test_every_block_of_the_document_is_run_here():
    found = blocks("trainers.md")
    assert set(DIFFS) == set(TREES)
    assert sum(block.kind == "diff" for block in found) == len(TREES)
    runs = re.findall(r'run\("(.+?)"', Path(__file__).read_text())
    assert {block.section for block in found if block.kind == "python"} == set(runs)
    assert {block.kind for block in found} == {"diff", "python"}


def test_a_change_is_two_lines():
    for name, diff in DIFFS.items():
        assert sum(line.startswith("+") for line in diff.splitlines()) == 2, name
