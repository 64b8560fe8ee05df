"""pytorch-metric-learning: its calls, its reducers and its miners, against the losses by hand."""

import copy
import pickle

import pytest
import torch

pytest.importorskip("pytorch_metric_learning")

from pytorch_metric_learning import distances, miners, reducers, regularizers
from pytorch_metric_learning import losses as pml_losses
from pytorch_metric_learning.utils import loss_and_miner_utils as lmu

from by_hand import anchors_of, per_anchor
from drsl_cuda import functional
from drsl_cuda.integrations import pml
from tolerances import CONTRACT, F16, F32, F64, SAME, UNDERFLOW, assert_close

CLASSES = {
    "drsl": pml.DRSLLoss,
    "fidi": pml.FIDILoss,
    "smooth_ap": pml.SmoothAPLoss,
    "batch_hard_triplet": pml.BatchHardTripletLoss,
}
EVERY = pytest.mark.parametrize("name", CLASSES)
DTYPES = pytest.mark.parametrize("dtype", [F16, F32, F64], ids=str)


def function(name):
    return getattr(functional, f"{name}_loss")


def batch(size=20, classes=5, dim=12, *, seed=0, dtype=F64, grad=True):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (size,), generator=generator)
    centres = torch.randn(classes, dim, generator=torch.Generator().manual_seed(99), dtype=F64)
    rows = 0.4 * centres[labels] + torch.randn(size, dim, generator=generator, dtype=F64)
    return rows.to(torch.bfloat16).to(dtype).requires_grad_(grad), labels


def mean_by_hand(name, x, r, pairs, **options):
    losses = per_anchor(name, x, r, anchors_of(pairs, len(x)), **options)
    return sum(losses.values()) / len(losses)


def compare(name, loss, wanted, leaves, dtype):
    """Values, and gradients of the leaves."""
    assert loss.dtype == (F64 if dtype == F64 else F32)
    # ‖…‖ of a loss by cosines at temperature 0.01 has a hundred times the error of a cosine.
    slack = 10 if name == "smooth_ap" and dtype != F64 else 1
    assert_close(loss, wanted, CONTRACT[dtype].loss * slack, what="loss")
    got = torch.autograd.grad(loss, leaves)
    right = torch.autograd.grad(wanted, leaves)
    for mine, theirs in zip(got, right, strict=True):
        assert mine.dtype == dtype
        assert mine.abs().sum() > 0
        assert_close(
            mine, theirs, CONTRACT[dtype].grad * slack, floor=UNDERFLOW[dtype], what="gradient"
        )


# ------------------------------------------------------------------------- the plain call


@EVERY
@DTYPES
def test_a_batch(name, dtype):
    x, labels = batch(dtype=dtype)
    loss = CLASSES[name]()(x, labels)
    compare(name, loss, mean_by_hand(name, x, x, lmu.get_all_pairs_indices(labels)), [x], dtype)
    assert_close(loss, function(name)(x, labels), SAME[F32].loss)


@EVERY
@DTYPES
def test_a_batch_with_references(name, dtype):
    x, labels = batch(dtype=dtype)
    r, r_labels = batch(31, seed=1, dtype=dtype)
    loss = CLASSES[name]()(x, labels, ref_emb=r, ref_labels=r_labels)
    wanted = mean_by_hand(name, x, r, lmu.get_all_pairs_indices(labels, r_labels))
    compare(name, loss, wanted, [x, r], dtype)
    assert_close(loss, function(name)(x, labels, r, r_labels), SAME[F32].loss)


@EVERY
def test_a_batch_as_its_own_reference(name):
    # The library leaves out row q of ref_emb for anchor q where the labels are the same object, only.
    x, labels = batch()
    plain = CLASSES[name]()(x, labels)
    assert torch.equal(CLASSES[name]()(x, labels, ref_emb=x, ref_labels=labels), plain)
    again = CLASSES[name]()(x, labels, ref_emb=x * 1, ref_labels=labels)
    assert_close(again, plain, SAME[F64].loss)
    copies = CLASSES[name]()(x, labels, ref_emb=x * 1, ref_labels=labels.clone())
    wanted = mean_by_hand(name, x, x.detach(), lmu.get_all_pairs_indices(labels, labels.clone()))
    assert_close(copies, wanted, SAME[F64].loss)
    assert not torch.allclose(copies, plain)


@EVERY
def test_parameters_reach_the_loss(name):
    settings = {
        "drsl": {"delta": 0.1},
        "fidi": {"alpha": 1.5, "beta": 0.2},
        "smooth_ap": {"temperature": 0.1},
        "batch_hard_triplet": {"margin": None},
    }[name]
    x, labels = batch()
    module = CLASSES[name](**settings, backend="native")
    wanted = mean_by_hand(name, x, x, lmu.get_all_pairs_indices(labels), **settings)
    compare(name, module(x, labels), wanted, [x], F64)
    assert set(settings) <= set(module._record_these)  # what its record keeper writes down
    for duplicate in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(duplicate(x, labels), module(x, labels))


def test_all_parameters_of_drsl_reach_it():
    x, labels = batch()
    settings = {"delta": 0.3, "rank_weight": 2.0, "sort_weight": 0.5, "angle_weight": 0.25}
    wanted = functional.drsl_loss(x, labels, **settings)
    assert_close(pml.DRSLLoss(**settings)(x, labels), wanted, SAME[F64].loss)
    assert_close(pml.DRSLLoss(*settings.values())(x, labels), wanted, SAME[F64].loss)


def test_smooth_ap_with_self_is_the_one_of_the_library():
    # It computes in float32, and takes batches of k classes with k samples of each, in this order.
    x, _ = batch(25)
    labels = torch.arange(5).repeat_interleave(5)
    theirs = pml_losses.SmoothAPLoss()(x, labels)
    assert_close(pml.SmoothAPLoss(include_self=True)(x, labels), theirs, 1e-6)


# ------------------------------------------------------------------------- miners


def mined(kind, x, labels, r=None, r_labels=None):
    torch.manual_seed(0)
    miner = {
        "pairs": miners.MultiSimilarityMiner(epsilon=0.0),
        "triplets": miners.TripletMarginMiner(margin=0.5, type_of_triplets="semihard"),
    }[kind]
    found = miner(x, labels, r, r_labels)
    assert len(found) == (4 if kind == "pairs" else 3) and 0 < len(found[0])
    return found


@EVERY
@DTYPES
@pytest.mark.parametrize("kind", ["pairs", "triplets"])
def test_what_a_miner_did_not_choose_is_left_out(name, kind, dtype):
    x, labels = batch(24, 4, dtype=dtype)
    chosen = mined(kind, x.detach().float(), labels)
    loss = CLASSES[name]()(x, labels, chosen)
    compare(name, loss, mean_by_hand(name, x, x, lmu.convert_to_pairs(chosen, labels)), [x], dtype)
    keeps_the_hardest = kind == "pairs" and name == "batch_hard_triplet"
    assert torch.allclose(loss, CLASSES[name]()(x, labels)) == keeps_the_hardest


@EVERY
@pytest.mark.parametrize("kind", ["pairs", "triplets"])
def test_a_miner_with_references(name, kind):
    x, labels = batch(18, 4)
    r, r_labels = batch(29, 4, seed=1)
    chosen = mined(kind, x.detach(), labels, r.detach(), r_labels)
    loss = CLASSES[name]()(x, labels, chosen, r, r_labels)
    wanted = mean_by_hand(name, x, r, lmu.convert_to_pairs(chosen, labels, r_labels))
    compare(name, loss, wanted, [x, r], F64)


@EVERY
def test_a_miner_that_finds_nothing_gives_zero_with_a_gradient(name):
    x, labels = batch()
    nothing = torch.empty(0, dtype=torch.int64)
    for chosen in ((nothing,) * 3, (nothing,) * 4):
        loss = CLASSES[name]()(x, labels, chosen)
        assert loss == 0
        assert torch.autograd.grad(loss, x)[0].count_nonzero() == 0


@EVERY
def test_no_anchor_counts(name):
    # FIDI has negatives to push away even then.
    x, _ = batch()
    loss = CLASSES[name]()(x, torch.arange(20))
    (grad,) = torch.autograd.grad(loss, x)
    assert (loss > 0 and grad.any()) if name == "fidi" else (loss == 0 and not grad.any())


def test_a_tuple_that_contradicts_the_labels_is_refused():
    x, labels = batch()
    pairs = lmu.get_all_pairs_indices(labels)
    with pytest.raises(ValueError, match="indices_tuple must list pairs of equal labels"):
        pml.DRSLLoss()(x, labels, (*pairs[2:], *pairs[:2]))


# ------------------------------------------------------------------------- reducers


def elements(name, x, labels):
    """Anchors that count and their losses, by hand."""
    losses = per_anchor(name, x, x, anchors_of(lmu.get_all_pairs_indices(labels), len(x)))
    return torch.tensor(list(losses)), torch.stack(list(losses.values()))


@EVERY
@pytest.mark.parametrize(
    "reducer",
    ["mean", "sum", "threshold", "non_zero", "class_weighted", "per_anchor", "divisor", "several"],
)
def test_reducers(name, reducer):
    x, labels = batch(16, 6, seed=3)
    labels[0] = 6  # alone: it counts for FIDI only
    anchors, losses = elements(name, x, labels)
    middle = losses.sort().values[5:7].mean().item()  # between two of them
    weights = torch.linspace(0.5, 2.0, 7, dtype=F64)
    made, wanted = {
        "mean": (reducers.MeanReducer(), losses.mean()),
        "sum": (reducers.SumReducer(), losses.sum()),
        "threshold": (reducers.ThresholdReducer(low=middle), losses[losses > middle].mean()),
        "non_zero": (reducers.AvgNonZeroReducer(), losses[losses > 0].mean()),
        "class_weighted": (
            reducers.ClassWeightedReducer(weights),
            (losses * weights[labels[anchors]]).mean(),
        ),
        "per_anchor": (reducers.PerAnchorReducer(), losses.mean()),
        "divisor": (reducers.DivisorReducer(), losses.mean()),
        "several": (reducers.MultipleReducers({"loss": reducers.SumReducer()}), losses.sum()),
    }[reducer]
    compare(name, CLASSES[name](reducer=made)(x, labels), wanted, [x], F64)


@EVERY
def test_the_elements_themselves(name):
    x, labels = batch(16, 6, seed=3)
    labels[0] = 6
    anchors, losses = elements(name, x, labels)
    got = CLASSES[name](reducer=reducers.DoNothingReducer())(x, labels)["loss"]
    assert got["reduction_type"] == "element"
    assert torch.equal(got["indices"], anchors)
    assert (0 in anchors) == (name == "fidi")
    assert_close(got["losses"], losses, CONTRACT[F64].loss)


# ------------------------------------------------------------------------- other parts


@pytest.mark.parametrize("name", [name for name in CLASSES if name != "smooth_ap"])
@pytest.mark.parametrize("normalize", [False, True])
def test_the_distance_says_whether_rows_are_normalized(name, normalize):
    x, labels = batch()
    module = CLASSES[name](distance=distances.LpDistance(normalize_embeddings=normalize))
    wanted = function(name)(x, labels, normalize=normalize)
    assert_close(module(x, labels), wanted, SAME[F64].loss)
    assert not torch.allclose(wanted, function(name)(x, labels, normalize=not normalize))


@pytest.mark.parametrize(
    "name, distance, message",
    [
        ("drsl", distances.CosineSimilarity(), "be LpDistance for this loss, got Cosine"),
        ("fidi", distances.SNRDistance(), "be LpDistance for this loss, got SNRDistance"),
        ("smooth_ap", distances.LpDistance(), "be CosineSimilarity for this loss, got LpDist"),
        ("smooth_ap", distances.DotProductSimilarity(), "be CosineSimilarity"),
        ("drsl", distances.LpDistance(p=1), r"have p=2 and power=1, got LpDistance\(p=1, power=1\)"),
        ("batch_hard_triplet", distances.LpDistance(power=2), "have .*got .*power=2"),
    ],
    ids=str,
)
def test_other_distances_are_refused(name, distance, message):
    with pytest.raises(ValueError, match=f"distance must {message}"):
        CLASSES[name](distance=distance)
    module = CLASSES[name]()
    module.distance = distance  # and when one is put in later
    with pytest.raises(ValueError, match=f"distance must {message}"):
        module(*batch())


@EVERY
def test_embedding_regularizers(name):
    x, labels = batch()
    regularizer = regularizers.LpRegularizer(p=2)
    module = CLASSES[name](embedding_regularizer=regularizer, embedding_reg_weight=0.1)
    assert module.sub_loss_names() == ["loss", "embedding_reg_loss"]
    plain = function(name)(x, labels)
    compare(name, module(x, labels), plain + 0.1 * x.norm(dim=1).mean(), [x], F64)


def test_multiple_losses_with_miners_and_weights():
    x, labels = batch(24, 4)
    torch.manual_seed(0)
    miner = miners.MultiSimilarityMiner(epsilon=0.0)
    several = pml_losses.MultipleLosses(
        [CLASSES[name]() for name in CLASSES], miners=[None, miner, None, miner], weights=[1, 2, 3, 4]
    )
    every, some = lmu.get_all_pairs_indices(labels), miner(x, labels)
    wanted = sum(
        weight * mean_by_hand(name, x, x, pairs)
        for weight, name, pairs in zip((1, 2, 3, 4), CLASSES, (every, some, every, some), strict=True)
    )
    compare("several", several(x, labels), wanted, [x], F64)


@pytest.mark.parametrize(
    "changed, error, message",
    [
        ({"labels": None}, ValueError, "labels must be given"),
        ({"ref_emb": torch.ones(3, 12, dtype=F64)}, ValueError, "ref_labels must be given"),
        ({"indices_tuple": (torch.zeros(1),) * 2}, ValueError, r"3 tensors .* got tuple \(2\)"),
        ({"labels": torch.zeros(20)}, TypeError, "labels must hold integers, got torch.float32"),
    ],
    ids=["labels", "ref_labels", "indices_tuple", "float labels"],
)
def test_errors_name_what_is_wrong(changed, error, message):
    x, labels = batch()
    with pytest.raises(error, match=message):
        pml.DRSLLoss()(**({"embeddings": x, "labels": labels} | changed))


def test_parameters_are_checked_when_the_loss_is_made():
    with pytest.raises(ValueError, match="delta must be >= 0, got -1"):
        pml.DRSLLoss(delta=-1.0)
    with pytest.raises(ValueError, match="backend must be one of"):
        pml.DRSLLoss(backend="cpu")
