"""NaN, infinity, overflow and underflow: who turns NaN, and who must not."""

import numpy as np
import oracle
import pytest
import torch
from cases import build
from drsl_cuda import functional
from running import loss_and_grads
from tolerances import BF16, CONTRACT, F16, F32, F64, ROUNDING, accumulation_name, assert_close, cosine_floor

BACKENDS = pytest.mark.parametrize("backend", ["native", "reference"])
TYPES = pytest.mark.parametrize("dtype", [F64, F32], ids=str)
VALUES = pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)


def problem(name):
    """A case as a dictionary of arrays that a test may spoil."""
    c = build(name)
    fields = ("x", "labels", "gallery", "gallery_labels", "self_index", "exclude")
    return {f: None if getattr(c, f) is None else getattr(c, f).numpy().copy() for f in fields}


def check(given, dtype, backend, device, *, reduction="none", normalize=False, delta=0.5, weights=(1.0, 1.0, 1.0)):
    """Against the oracle: the same NaN in the same places, and right numbers everywhere else."""
    wanted = oracle.drsl(**given, normalize=normalize, delta=delta, weights=weights,
                         accumulation=accumulation_name(dtype))  # fmt: skip
    placed = {k: None if v is None else torch.as_tensor(v).to(device) for k, v in given.items()}
    placed["x"] = placed["x"].to(dtype)
    if placed["gallery"] is not None:
        placed["gallery"] = placed["gallery"].to(dtype)
    named = dict(zip(("rank_weight", "sort_weight", "angle_weight"), weights, strict=True))
    loss, grad_x, grad_gallery = loss_and_grads(
        **placed, reduction=reduction, normalize=normalize, delta=delta, **named, backend=backend
    )
    assert_close(loss, wanted.reduced(reduction), CONTRACT[dtype].loss, what="loss")
    wanted_x, wanted_gallery = wanted.grads(reduction)
    rows = given["x"][np.isfinite(given["x"]).all(-1)]
    floor = cosine_floor(np.nan_to_num(wanted.grad_cosine), rows, ROUNDING[dtype])
    assert_close(grad_x, wanted_x, CONTRACT[dtype].grad, floor=floor, what="gradient of embeddings")
    if grad_gallery is not None:
        assert_close(grad_gallery, wanted_gallery, CONTRACT[dtype].grad, floor=floor, what="gradient of gallery")
    return wanted


def share_bad(wanted):
    return wanted.bad.sum() / wanted.counts.sum()


@BACKENDS
@TYPES
@VALUES
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_a_bad_row_of_the_batch_spoils_everyone_who_compares(value, reduction, normalize, dtype, backend, device):
    given = problem("pk_sorted")
    given["x"][5, 3] = value
    wanted = check(given, dtype, backend, device, reduction=reduction, normalize=normalize)
    assert share_bad(wanted) == 1  # everyone compares with everyone


@BACKENDS
@TYPES
@VALUES
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("delta", [0.0, 0.5])
def test_a_bad_row_that_all_exclude_does_not_leak(value, delta, normalize, dtype, backend, device):
    given = problem("pk_sorted")
    given["x"][5] = value
    given["exclude"] = np.zeros((24, 24), bool)
    given["exclude"][5] = given["exclude"][:, 5] = True
    wanted = check(given, dtype, backend, device, normalize=normalize, delta=delta, reduction="mean")
    assert share_bad(wanted) == 0


@BACKENDS
@TYPES
@VALUES
def test_a_bad_row_spoils_only_those_who_do_not_exclude_it(value, dtype, backend, device):
    given = problem("pk_sorted")
    given["x"][5, 0] = value
    given["exclude"] = np.zeros((24, 24), bool)
    given["exclude"][5] = True
    given["exclude"][:20, 5] = True
    wanted = check(given, dtype, backend, device)
    np.testing.assert_array_equal(np.flatnonzero(wanted.bad), [20, 21, 22, 23])


@BACKENDS
@TYPES
@VALUES
@pytest.mark.parametrize("normalize", [False, True])
def test_a_bad_query_spoils_itself_and_the_entries_it_compares_with(value, normalize, dtype, backend, device):
    given = problem("gallery")
    given["x"][4, 1] = value
    given["exclude"] = np.zeros((10, 37), bool)
    given["exclude"][4, 10:] = True
    given["exclude"][4, :10] = given["gallery_labels"][:10] != given["labels"][4]
    wanted = check(given, dtype, backend, device, normalize=normalize)
    assert wanted.bad.sum() == 1
    assert 0 < np.isnan(wanted.grads("none")[1]).all(-1).sum() < 10


@BACKENDS
@TYPES
@VALUES
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_a_bad_query_that_does_not_count_is_nothing(value, reduction, dtype, backend, device):
    given = problem("gallery")
    given["x"][4] = value
    given["labels"][4] = 777
    wanted = check(given, dtype, backend, device, reduction=reduction)
    assert not wanted.counts[4] and share_bad(wanted) == 0


@BACKENDS
@TYPES
@VALUES
@pytest.mark.parametrize("delta", [0.0, 0.5])
@pytest.mark.parametrize("role", ["positive", "negative"])
def test_a_bad_gallery_entry_spoils_its_comparers_as_positive_and_as_negative(value, delta, role, dtype, backend, device):
    given = problem("gallery")
    given["gallery"][7, 2] = value
    given["exclude"] = np.zeros((10, 37), bool)
    related = given["labels"] == given["gallery_labels"][7]
    given["exclude"][:, 7] = ~related if role == "positive" else related
    wanted = check(given, dtype, backend, device, delta=delta)
    assert 0 < share_bad(wanted) < 1
    assert (related == wanted.bad)[wanted.counts].all() == (role == "positive")


@BACKENDS
@TYPES
@VALUES
def test_a_bad_own_copy_does_not_leak(value, dtype, backend, device):
    # The bank's copy of query 4 is spoilt: query 4 never looks at it, all others are told not to.
    given = problem("bank")
    place = given["self_index"][4]
    given["gallery"][place] = value
    given["exclude"] = np.zeros((10, 47), bool)
    given["exclude"][:, place] = True
    given["exclude"][4, place] = False
    assert share_bad(check(given, dtype, backend, device, reduction="mean")) == 0


@BACKENDS
@TYPES
@pytest.mark.parametrize("weights", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.0, 0.0, 0.0)], ids=str)
def test_a_weight_of_zero_hides_no_nan(weights, dtype, backend, device):
    given = problem("gallery")
    given["gallery"][7, 2] = np.nan
    check(given, dtype, backend, device, weights=weights)


@BACKENDS
@TYPES
@VALUES
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_a_bad_set_leaves_the_other_sets_alone(value, reduction, dtype, backend, device):
    given = problem("sets_3")
    given["x"][1, 2, 0] = value
    wanted = check(given, dtype, backend, device, reduction=reduction)
    np.testing.assert_array_equal(wanted.bad.any(-1), [False, True, False])


@BACKENDS
@pytest.mark.parametrize("gallery", [False, True], ids=["batch", "gallery"])
def test_an_overflowing_distance_is_nan_not_a_rank(gallery, backend, device):
    # ±2e38 in float32: d = 4e38 does not exist, though every row does.
    given = problem("gallery" if gallery else "pk_sorted")
    given["x"][5], given["x"][6] = 0.0, 0.0
    given["x"][5, 0] = 2.0**127
    (given["gallery"] if gallery else given["x"])[6, 0] = -(2.0**127)
    check(given, F32, backend, device)


@BACKENDS
@pytest.mark.parametrize("dtype, exponent", [(F32, -80), (F32, -130), (F64, -600), (F64, -1030)], ids=str)
@pytest.mark.parametrize("normalize", [False, True])
def test_rows_whose_square_underflows_count_as_zero(dtype, exponent, normalize, backend, device):
    # |x|² is below the smallest normal number: cos = 0, y = ½, every H = ½ at δ = 0.5.
    given = problem("pk_sorted")
    given["x"] = np.ldexp(given["x"], exponent)
    x = torch.as_tensor(given["x"]).to(device, dtype)
    loss, grad, _ = loss_and_grads(x, torch.as_tensor(given["labels"]).to(device), normalize=normalize, backend=backend)
    # Every query: 3 positives, 20 negatives; rank⁺ = 2, N_FP = 10, ℓ_R = 10/12; ℓ_A = ½.
    assert loss.item() == pytest.approx(10 / 12 + 0.5, rel=1e-6)
    assert grad.isfinite().all()
    if normalize:
        assert not grad.any()
    else:
        assert grad.abs().max() <= 24  # unit vectors times ∂/∂d ≤ 1 each: no 1/|x| from the angle


@BACKENDS
@TYPES
def test_a_zero_row_has_no_angle_and_takes_no_gradient_through_it(dtype, backend, device):
    given = problem("pk_sorted")
    given["x"][[0, 9]] = 0.0
    check(given, dtype, backend, device)
    wanted = check(given, dtype, backend, device, weights=(0.0, 0.0, 1.0))
    assert not wanted.grads("none")[0][[0, 9]].any()


@BACKENDS
@TYPES
@pytest.mark.parametrize("seed", range(4))
def test_finite_rows_never_make_anything_infinite(seed, dtype, backend, device):
    # Lengths over the whole range whose sums of D = 7 still exist; cos is defined from sqrt(tiny) on.
    rng = np.random.default_rng(seed)
    info = torch.finfo(dtype)
    low, high = np.log2(info.tiny) / 2 + 4, np.log2(info.max) - 4
    exponents = rng.choice([low, high, 0.0], 20) if seed < 2 else rng.uniform(low, high, 20)
    x = torch.as_tensor(rng.uniform(0.5, 1, (20, 7)) * 2.0 ** exponents[:, None]).to(device, dtype)
    labels = torch.as_tensor(rng.integers(0, 4, 20)).to(device)
    distance, cosine = functional.pairwise_distance_angle(x)
    assert distance.isfinite().all() and cosine.isfinite().all()
    assert cosine.abs().max() <= 1 + 1e-6
    for options in ({}, {"delta": 0.0}, {"normalize": True}, {"delta": 1e30}, {"delta": 1e-30}):
        loss, grad, _ = loss_and_grads(x, labels, backend=backend, **options)
        assert loss.isfinite() and loss >= 0, options
        assert grad.isfinite().all(), options


@BACKENDS
@pytest.mark.parametrize("dtype", [F16, BF16], ids=str)
def test_half_types_are_squared_in_float32(dtype, backend, device):
    # 30000² is infinity in float16; in float32 it is nothing special.
    c = build("pk_8x4")
    x = (c.x * 8192).to(device, dtype)
    loss, grad, _ = loss_and_grads(x, c.labels.to(device), backend=backend)
    wanted = oracle.drsl(x.cpu().double().numpy(), c.labels.numpy())
    assert_close(loss, wanted.reduced("mean"), CONTRACT[dtype].loss)
    assert_close(grad, wanted.grads("mean")[0], CONTRACT[dtype].grad, floor=2.0**-25)


@BACKENDS
@TYPES
def test_coincident_rows_take_no_gradient_from_each_other(dtype, backend, device):
    x = torch.full((6, 5), 0.3, dtype=dtype, device=device)
    labels = torch.tensor([0, 0, 0, 1, 1, 1], device=device)
    # 2 positives, 3 negatives at distance 0, all H(0) = ½: rank⁺ = 3/2, N_FP = 3/2, ℓ_R = ½; y = 1.
    loss, grad, _ = loss_and_grads(x, labels, backend=backend)
    assert loss.item() == pytest.approx(0.5, rel=1e-6)
    assert grad.abs().max() <= 16 * ROUNDING[dtype]  # what 1 − cos leaves after rounding, over |x| ≈ 0.7
    # At δ = 0 an equal distance counts in full: rank⁺ = 2, N_FP = 3, ℓ_R = 3/5.
    assert loss_and_grads(x, labels, delta=0.0, backend=backend)[0].item() == pytest.approx(0.6, rel=1e-6)
