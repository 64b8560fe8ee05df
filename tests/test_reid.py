"""The adapters for re-ID trainers themselves: parts, reductions, logged distances, errors."""

import copy
import pickle

import pytest
import torch

from drsl_cuda import functional, losses
from drsl_cuda.integrations.reid import AsTriplet, AsTripletFunction, DRSLLoss
from tolerances import BF16, CONTRACT, F16, F32, F64, SAME, assert_close

EVERY = pytest.mark.parametrize(
    "criterion", ["DRSLLoss", "FIDILoss", "SmoothAPLoss", "BatchHardTripletLoss"]
)


def batch(*dims, size=14, seed=0, dtype=F64, device="cpu"):
    """Features of each length, and identities of which one has a single sample."""
    generator = torch.Generator().manual_seed(seed)
    made = [torch.randn(size, dim, generator=generator, dtype=F64) for dim in dims]
    labels = torch.arange(size, device=device) % 4
    labels[0] = 9
    return [x.to(device, dtype).requires_grad_() for x in made], labels


def same_step(loss, wanted, leaves, dtype=F64):
    assert_close(loss, wanted, SAME[dtype].loss)
    got, right = torch.autograd.grad(loss, leaves), torch.autograd.grad(wanted, leaves)
    for mine, theirs in zip(got, right, strict=True):
        assert theirs.any()
        assert_close(mine, theirs, SAME[dtype].grad)


class Counted(DRSLLoss):
    """Notes the shapes that it was called with."""

    def forward(self, embeddings, labels):
        self.shapes = [*getattr(self, "shapes", []), tuple(embeddings.shape)]
        return super().forward(embeddings, labels)


# ------------------------------------------------------------------------- the loss


@EVERY
def test_one_tensor(criterion, device):
    (x,), labels = batch(10, device=device)
    made = getattr(losses, criterion)()
    same_step(AsTriplet(made)(x, labels)[0], made(x, labels), [x])
    same_step(AsTripletFunction(made)(x, labels, 0.3, False, True), made(x, labels), [x])


@EVERY
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("dims", [(10, 10, 10), (10, 10, 6), (10,)], ids=str)
def test_parts_are_the_mean_of_separate_calls(criterion, reduction, dims, device):
    parts, labels = batch(*dims, device=device)
    made = getattr(losses, criterion)(reduction=reduction)
    wanted = sum(made(x, labels) for x in parts) / len(parts)
    loss = AsTriplet(made)(parts, labels)[0]
    assert loss.shape == ((14,) if reduction == "none" else ())
    weight = torch.linspace(1, 2, 14, dtype=F64, device=device)
    if reduction == "none":
        assert_close(loss, wanted, SAME[F64].loss)
        loss, wanted = (loss * weight).sum(), (wanted * weight).sum()
    same_step(loss, wanted, parts)


def test_parts_of_one_shape_are_one_call():
    alike, labels = batch(10, 10, 10)
    criterion = Counted()
    AsTriplet(criterion)(tuple(alike), labels)
    assert criterion.shapes == [(3, 14, 10)]

    criterion = Counted()
    others, _ = batch(10, 10, 6)
    AsTriplet(criterion)(others, labels)
    assert criterion.shapes == [(14, 10), (14, 10), (14, 6)]

    criterion = Counted()
    mixed = [alike[0], alike[1].float()]
    assert_close(
        AsTriplet(criterion)(mixed, labels)[0],
        sum(functional.drsl_loss(x, labels) for x in mixed) / 2,
        SAME[F32].loss,
    )
    assert criterion.shapes == [(14, 10), (14, 10)]


@EVERY
def test_normalize_for_a_call_is_that_of_the_criterion(criterion):
    parts, labels = batch(10, 10)
    made = getattr(losses, criterion)
    for adapter, normalize in ((AsTriplet(made()), True), (AsTriplet(made(normalize=True)), False)):
        wanted = made(normalize=True)(torch.stack(parts), labels)
        same_step(adapter(parts, labels, normalize_feature=normalize)[0], wanted, parts)
        assert adapter.criterion.normalize != normalize, "the criterion stays as it was"
    wanted = made(normalize=True)(parts[0], labels)
    function = AsTripletFunction(made())
    same_step(function(parts[0], labels, margin=0.3, norm_feat=True), wanted, parts[:1])
    assert torch.equal(function(parts[0], labels), made()(parts[0], labels))


def test_settings_of_the_criterion_hold_when_normalized():
    (x,), labels = batch(10)
    settings = {"delta": 0.1, "sort_weight": 0.0, "reduction": "sum", "backend": "reference"}
    got = AsTriplet(DRSLLoss(**settings))(x, labels, True)[0]
    assert torch.equal(got, functional.drsl_loss(x, labels, normalize=True, **settings))


@pytest.mark.parametrize("dtype", [F16, BF16], ids=str)
def test_half_precision_and_autocast(dtype):
    (x, y), labels = batch(10, 10, dtype=dtype)
    with torch.autocast("cpu", BF16):
        loss, farthest, nearest = AsTriplet(DRSLLoss())([x, y], labels)
    loss.backward()
    assert loss.dtype == farthest.dtype == nearest.dtype == F32 and x.grad.dtype == dtype
    wanted = functional.drsl_loss(torch.stack([x, y]).double(), labels)
    assert_close(loss, wanted, CONTRACT[F16].loss)


def test_a_compiled_step():
    (x, y), labels = batch(10, 10)
    triplet, function = AsTriplet(DRSLLoss()), AsTripletFunction(DRSLLoss())

    def step(x, y):
        loss = triplet([x, y], labels)[0] + triplet(x, labels, normalize_feature=True)[0]
        return loss + function(y, labels, 0.3, False, True)

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    same_step(compiled(x, y), step(x, y), [x, y])


# ------------------------------------------------------------------------- the distances


def by_hand(x, labels):
    """Distances to the farthest positive, 0 without one, and to the nearest negative."""
    farthest, nearest = [], []
    for q in range(len(x)):
        d = (x - x[q]).square().sum(1).sqrt()
        mine = (labels == labels[q]) & (torch.arange(len(x)) != q)
        farthest.append(d[mine].max() if mine.any() else d.new_zeros(()))
        nearest.append(d[labels != labels[q]].min())
    return torch.stack(farthest), torch.stack(nearest)


@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("dims", [(10,), (10, 10), (10, 6)], ids=str)
def test_hardest_distances(dims, unit, device):
    parts, labels = batch(*dims, device=device)
    result = AsTriplet(DRSLLoss())(parts if len(parts) > 1 else parts[0], labels, unit)
    loss, farthest, nearest = result
    by_criterion = AsTriplet(DRSLLoss(normalize=unit))(parts, labels)
    assert torch.equal(by_criterion[1], farthest) and torch.equal(by_criterion[2], nearest)
    assert loss is result[0] and len(result) == 3 and result[-1] is nearest
    assert not farthest.requires_grad and not nearest.requires_grad
    rows = [
        x.detach().cpu() / (x.detach().cpu().norm(dim=1)[:, None] if unit else 1) for x in parts
    ]
    wanted = [by_hand(x, labels.cpu()) for x in rows]
    for got, right in zip((farthest, nearest), zip(*wanted, strict=True), strict=True):
        assert_close(got, sum(right) / len(right), SAME[F64].loss)
    assert farthest[0] == 0


def test_distances_where_there_is_nothing():
    x = torch.randn(3, 4)
    _, farthest, nearest = AsTriplet(DRSLLoss())(x, torch.ones(3).long())
    assert farthest.gt(0).all() and nearest.isposinf().all()
    loss, farthest, nearest = AsTriplet(DRSLLoss())(x[:0], torch.ones(0).long())
    assert loss == 0 and farthest.shape == nearest.shape == (0,)


def test_distances_cost_nothing_until_they_are_looked_at(monkeypatch):
    calls = []
    computed = functional.pairwise_distance_angle
    monkeypatch.setattr(
        functional, "pairwise_distance_angle", lambda x: calls.append(1) or computed(x)
    )
    (x,), labels = batch(10)
    result = AsTriplet(DRSLLoss())(x, labels)
    assert result[0] > 0 and not calls
    assert result[1].shape == result[2].shape == (14,) and len(calls) == 1
    assert "tensor" in repr(result) and len(calls) == 1


# ------------------------------------------------------------------------- modules, errors


@pytest.mark.parametrize("adapter", [AsTriplet, AsTripletFunction])
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_duplicates(adapter, duplicate):
    (x,), labels = batch(10)
    module = adapter(DRSLLoss(delta=0.1)).to("cpu")
    other = duplicate(module)
    assert repr(other) == repr(module) and dict(module.state_dict()) == {}
    got, wanted = (m(x, labels) for m in (other, module))
    assert torch.equal(got[0], wanted[0]) if adapter is AsTriplet else torch.equal(got, wanted)


@pytest.mark.parametrize("adapter", [AsTriplet, AsTripletFunction])
def test_other_criteria_are_refused(adapter):
    with pytest.raises(TypeError, match=r"criterion must be a loss on embeddings, .* got MSELoss"):
        adapter(torch.nn.MSELoss())
    with pytest.raises(TypeError, match=r"criterion must be a loss on embeddings, .* got type"):
        adapter(DRSLLoss)


def test_wrong_features_are_refused():
    (x,), labels = batch(10)
    with pytest.raises(ValueError, match="feat must be a tensor or a list of at least one"):
        AsTriplet(DRSLLoss())([], labels)
    with pytest.raises(TypeError, match="embeddings must be a floating tensor, got None"):
        AsTriplet(DRSLLoss())([x, None], labels)
    with pytest.raises(ValueError, match=r"labels must have shape \[B\] = \[14\], got \[13\]"):
        AsTriplet(DRSLLoss())(x, labels[1:])
