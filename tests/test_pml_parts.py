"""pytorch-metric-learning: reducers, distances, regularizers, several losses, errors."""

import pytest
import torch

pytest.importorskip("pytorch_metric_learning")

from pytorch_metric_learning import distances, miners, reducers, regularizers
from pytorch_metric_learning import losses as pml_losses
from pytorch_metric_learning.utils import loss_and_miner_utils as lmu

from by_hand import anchors_of, per_anchor
from drsl_cuda.integrations import pml
from pml_kit import CLASSES, EVERY, batch, compare, function, mean_by_hand
from tolerances import CONTRACT, F64, SAME, assert_close

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
        (
            "drsl",
            distances.LpDistance(p=1),
            r"have p=2 and power=1, got LpDistance\(p=1, power=1\)",
        ),
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
        [CLASSES[name]() for name in CLASSES],
        miners=[None, miner, None, miner],
        weights=[1, 2, 3, 4],
    )
    every, some = lmu.get_all_pairs_indices(labels), miner(x, labels)
    wanted = sum(
        weight * mean_by_hand(name, x, x, pairs)
        for weight, name, pairs in zip(
            (1, 2, 3, 4), CLASSES, (every, some, every, some), strict=True
        )
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
