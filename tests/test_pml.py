"""pytorch-metric-learning: plain calls, references and miners, against the losses by hand."""

import copy
import pickle

import pytest
import torch

pytest.importorskip("pytorch_metric_learning")

from pytorch_metric_learning import losses as pml_losses
from pytorch_metric_learning import miners
from pytorch_metric_learning.utils import loss_and_miner_utils as lmu

from drsl_cuda import functional
from drsl_cuda.integrations import pml
from pml_kit import CLASSES, DTYPES, EVERY, batch, compare, function, mean_by_hand
from tolerances import F32, F64, SAME, assert_close

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
def test_on_a_device(name, device):
    x, labels = batch()
    chosen = mined("pairs", x.detach(), labels)
    plain, picked = CLASSES[name]()(x, labels), CLASSES[name]()(x, labels, chosen)
    on_device = x.detach().to(device).requires_grad_()
    for indices, wanted in ((None, plain), (tuple(c.to(device) for c in chosen), picked)):
        got = CLASSES[name]()(on_device, labels, indices)  # the library moves the labels
        assert got.device.type == device.type
        assert_close(got, wanted, SAME[F64].loss)
        gradients = torch.autograd.grad(got, on_device)[0], torch.autograd.grad(wanted, x)[0]
        assert_close(*gradients, SAME[F64].grad)


@EVERY
def test_a_batch_as_its_own_reference(name):
    # The library leaves out row q of ref_emb for anchor q where the labels are the same object, only.
    x, labels = batch()
    plain = CLASSES[name]()(x, labels)
    assert torch.equal(CLASSES[name]()(x, labels, ref_emb=x, ref_labels=labels), plain)
    again = CLASSES[name]()(x, labels, ref_emb=x * 1, ref_labels=labels)
    assert_close(again, plain, SAME[F64].loss)
    wanted = mean_by_hand(name, x, x.detach(), lmu.get_all_pairs_indices(labels, labels.clone()))
    assert not torch.allclose(wanted, plain)
    for r in (x, x * 1):
        copies = CLASSES[name]()(x, labels, ref_emb=r, ref_labels=labels.clone())
        assert_close(copies, wanted, SAME[F64].loss)


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
def test_anchors_that_lack_positives_or_negatives_or_both(name):
    x, labels = batch()
    a, p, b, n = lmu.get_all_pairs_indices(labels)
    pairs = (
        a[a > 2],
        p[a > 2],
        b[b % 4 != 0],
        n[b % 4 != 0],
    )  # 0 has neither, 1 and 2 only n, 4 only p
    loss = CLASSES[name]()(x, labels, pairs)
    compare(name, loss, mean_by_hand(name, x, x, pairs), [x], F64)


def test_an_own_copy_that_is_listed_is_a_positive():
    # Only what is missing from the list can be the anchor's own copy.
    x, labels = batch()
    r, r_labels = x.detach().clone(), labels.clone()
    every = lmu.get_all_pairs_indices(labels, r_labels)
    loss = pml.SmoothAPLoss(include_self=True)(x, labels, every, r, r_labels)
    compare("smooth_ap", loss, mean_by_hand("smooth_ap", x, r, every), [x], F64)


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
