"""The example's models and where their weights come from."""

import sys

import pytest
import torch

from training import model
from training.model import Neck, Output, build, normalised

pytestmark = pytest.mark.usefixtures("one_thread")


def images(n=4, size=(64, 32)):
    return torch.randn(n, 3, *size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [(64, 32), (16, 8), (40, 50)])
def test_the_small_one(size):
    net = build("small", classes=7, size=size).train()
    output = net(images(size=size))
    assert isinstance(output, Output)
    assert [list(t.shape) for t in output] == [[4, 256], [4, 256], [4, 7]]
    assert model.count(net) < 500_000


def test_the_neck():
    """features = embedding, normalised over the batch, times a weight; logits of these; no shift."""
    torch.manual_seed(0)
    net = Neck(torch.nn.Flatten(), 12, 3).train()
    net.neck.weight.data.uniform_(0.5, 2)
    embedding, features, logits = net(images(6, (2, 2)))
    assert torch.equal(embedding, images(6, (2, 2)).flatten(1))
    centred = embedding - embedding.mean(0)
    wanted = centred / (centred.square().mean(0) + 1e-5).sqrt() * net.neck.weight
    torch.testing.assert_close(features, wanted)
    torch.testing.assert_close(logits, features @ net.classifier.weight.T)
    assert not net.neck.bias.requires_grad and not net.neck.bias.any()


@pytest.mark.parametrize("classes", [None, 3])
def test_every_weight_waits_for_a_gradient(classes):
    net = build("small", classes=classes)
    output = net(images())
    loss = output.embedding.sum()
    if classes:
        loss = loss + output.logits.square().sum()
    loss.backward()
    assert all((p.grad is not None) == p.requires_grad for p in net.parameters())


def test_without_an_identity_loss_there_is_no_neck():
    output = build("small", classes=None)(images())
    assert output.features is output.embedding and output.logits is None


def test_images_are_normalised():
    grey = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1).expand(2, 3, 4, 2)
    wanted = [(0 - 0.485) / 0.229, (0.2 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    torch.testing.assert_close(normalised(grey)[1, :, 3, 1], torch.tensor(wanted))


def test_an_unknown_model():
    with pytest.raises(
        ValueError, match="model must be one of small, resnet50, vit_small, got 'x'"
    ):
        build("x", classes=2)


@pytest.mark.parametrize(
    "name, module, message",
    [
        ("resnet50", "torchvision.models", "model resnet50 needs a torchvision that fits"),
        ("vit_small", "timm", "model vit_small needs timm"),
    ],
)
def test_what_is_not_installed_is_named(name, module, message, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=message):
        build(name, classes=2)


@pytest.mark.parametrize("name, dim", [("resnet50", 2048), ("vit_small", 384)])
def test_large_ones_where_they_can_be_had(name, dim):
    try:
        net = build(name, classes=5, size=(64, 32))
    except ImportError as error:
        pytest.skip(str(error))
    embedding, features, logits = net.train()(images(2))
    assert embedding.shape == features.shape == (2, dim) and logits.shape == (2, 5)


def test_vit_small_wants_whole_patches():
    pytest.importorskip("timm", exc_type=ImportError)
    with pytest.raises(ValueError, match="multiples of 16 for vit_small, got 60 x 32"):
        build("vit_small", classes=2, size=(60, 32))


def saved(path, state):
    torch.save(state, path)
    return str(path)


@pytest.mark.parametrize("wrap", ["bare", "model", "state_dict", "parallel"])
def test_weights_from_a_file(tmp_path, wrap):
    """The backbone's alone, published as they are: the head stays as it was drawn."""
    torch.manual_seed(1)
    other = build("small", classes=9)
    state = other.state_dict() if wrap == "model" else other.backbone.state_dict()
    if wrap == "bare":
        state = {**state, "fc.weight": torch.zeros(1000, 256)}
    if wrap == "parallel":
        state = {f"module.{key}": value for key, value in state.items()}
    file = saved(tmp_path / "w.pt", {wrap: state} if wrap in ("model", "state_dict") else state)
    net = build("small", classes=2, weights=file)
    for (key, a), b in zip(
        net.backbone.state_dict().items(), other.backbone.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), key
    assert net.classifier.weight.shape == (2, 256)


def test_weights_that_do_not_fit_are_named(tmp_path):
    state = build("small", classes=2).backbone.state_dict()
    del state["3.weight"]
    state["0.weight"] = torch.zeros(8, 3, 3, 3)
    state["extra"] = torch.zeros(1)
    message = (
        r"w.pt does not fit the model: missing: 3.weight; "
        r"shapes: 0.weight is \[8, 3, 3, 3\] there, \[32, 3, 3, 3\] here; unknown: extra"
    )
    with pytest.raises(ValueError, match=message):
        build("small", classes=2, weights=saved(tmp_path / "w.pt", state))


class Anything:
    pass


def test_files_that_are_no_weights(tmp_path):
    with pytest.raises(ValueError, match=r"none.pt: no such file"):
        build("small", classes=2, weights=str(tmp_path / "none.pt"))
    with pytest.raises(ValueError, match="is a folder, not a file"):
        build("small", classes=2, weights=str(tmp_path))
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(ValueError, match=r"text.pt cannot be read as a file of tensors"):
        build("small", classes=2, weights=str(tmp_path / "text.pt"))
    with pytest.raises(ValueError, match="must hold a dictionary of weights, got list"):
        build("small", classes=2, weights=saved(tmp_path / "list.pt", [1, 2]))
    # code in a file is not run
    with pytest.raises(ValueError, match=r"code.pt cannot be read as a file of tensors"):
        build("small", classes=2, weights=saved(tmp_path / "code.pt", {"a": Anything()}))
    whole = saved(tmp_path / "cut.pt", build("small", classes=2).state_dict())
    data = (tmp_path / "cut.pt").read_bytes()
    for size in (0, 10, len(data) // 2, len(data) - 10):
        (tmp_path / "cut.pt").write_bytes(data[:size])
        with pytest.raises(ValueError, match=r"cut.pt cannot be read as a file of tensors"):
            build("small", classes=2, weights=whole)
