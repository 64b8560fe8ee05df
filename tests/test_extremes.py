"""Overflow, underflow, zero and coincident rows: everything finite stays finite and right."""

import numpy as np
import pytest
import torch

import oracle
from cases import build
from drsl_cuda import functional
from running import check_spoilt, loss_and_grads, spoilable
from tolerances import BF16, CONTRACT, F16, F32, F64, NEAR, ROUNDING, assert_close

BACKENDS = pytest.mark.parametrize("backend", ["native", "reference"])
TYPES = pytest.mark.parametrize("dtype", [F64, F32], ids=str)


@BACKENDS
@pytest.mark.parametrize("gallery", [False, True], ids=["batch", "gallery"])
def test_an_overflowing_distance_is_nan_not_a_rank(gallery, backend, device):
    # ±2e38 in float32: d = 4e38 does not exist, though every row does.
    given = spoilable("gallery" if gallery else "pk_sorted")
    given["x"][5], given["x"][6] = 0.0, 0.0
    given["x"][5, 0] = 2.0**127
    (given["gallery"] if gallery else given["x"])[6, 0] = -(2.0**127)
    check_spoilt(given, F32, backend, device)


@BACKENDS
@pytest.mark.parametrize(
    "dtype, exponent", [(F32, -80), (F32, -130), (F64, -600), (F64, -1030)], ids=str
)
@pytest.mark.parametrize("normalize", [False, True])
def test_rows_whose_square_underflows_count_as_zero(dtype, exponent, normalize, backend, device):
    # |x|² is below the smallest normal number: cos = 0, y = ½, every H = ½ at δ = 0.5.
    given = spoilable("pk_sorted")
    given["x"] = np.ldexp(given["x"], exponent)
    x = torch.as_tensor(given["x"]).to(device, dtype)
    loss, grad, _ = loss_and_grads(
        x, torch.as_tensor(given["labels"]).to(device), normalize=normalize, backend=backend
    )
    # Every query: 3 positives, 20 negatives; rank⁺ = 2, N_FP = 10, ℓ_R = 10/12; ℓ_A = ½.
    assert loss.item() == pytest.approx(10 / 12 + 0.5, rel=1e-6)
    assert grad.isfinite().all()
    if normalize:
        assert not grad.any()
    else:
        assert grad.abs().max() <= 24  # unit vectors times ∂/∂d ≤ 1 each: no 1/|x| from the angle


@BACKENDS
@pytest.mark.parametrize("exponent", [-600, -1000, -1060])
@pytest.mark.parametrize("name", ["drsl", "smooth_ap"])
def test_rows_without_an_angle_have_no_derivative_by_it(name, exponent, backend, device):
    # In units of such rows 1 / unit times the slope 1/4τ of a step leaves double, and ∞ · 0 is NaN.
    x = torch.as_tensor(np.ldexp(np.random.default_rng(0).standard_normal((8, 2)), exponent))
    x = x.to(device).requires_grad_()
    weights = {"rank_weight": 0.0, "sort_weight": 0.0, "angle_weight": 50.0}
    options = weights if name == "drsl" else {"temperature": 0.001}
    labels = torch.arange(8, device=device) % 3
    loss = getattr(functional, f"{name}_loss")(x, labels, backend=backend, **options)
    loss.backward()
    assert loss.isfinite() and not x.grad.any()


@BACKENDS
@TYPES
def test_a_zero_row_has_no_angle_and_takes_no_gradient_through_it(dtype, backend, device):
    given = spoilable("pk_sorted")
    given["x"][[0, 9]] = 0.0
    check_spoilt(given, dtype, backend, device)
    wanted = check_spoilt(given, dtype, backend, device, weights=(0.0, 0.0, 1.0))
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
    assert (
        grad.abs().max() <= 16 * ROUNDING[dtype]
    )  # what 1 − cos leaves after rounding, over |x| ≈ 0.7
    # At δ = 0 an equal distance counts in full: rank⁺ = 2, N_FP = 3, ℓ_R = 3/5.
    assert loss_and_grads(x, labels, delta=0.0, backend=backend)[0].item() == pytest.approx(
        0.6, rel=1e-6
    )


@BACKENDS
@TYPES
@pytest.mark.parametrize("dim", [2, 3, 16])
@pytest.mark.parametrize("exponent", [0, -10, 10, -50, 60])
def test_normalised_near_rows_keep_their_digits_whatever_their_lengths(
    exponent, dim, dtype, backend, device
):
    # Directions within a degree of each other; the gallery's lengths are 2^exponent of the queries'.
    rng = np.random.default_rng(dim)
    base = rng.standard_normal((1, dim))
    x = base + 0.01 * rng.standard_normal((6, dim))
    gallery = np.ldexp(base + 0.01 * rng.standard_normal((9, dim)), exponent)
    x, gallery = (a.astype(np.float32).astype(np.float64) for a in (x, gallery))
    labels, gallery_labels = np.arange(6) % 2, np.arange(9) % 2
    # Only distances: the order of such near angles is more than float32 can tell.
    options = {"normalize": True, "delta": 0.02}
    wanted = oracle.drsl(x, labels, gallery, gallery_labels, **options, weights=(1.0, 0.0, 0.0))
    loss, *grads = loss_and_grads(
        torch.as_tensor(x).to(device, dtype),
        torch.as_tensor(labels).to(device),
        torch.as_tensor(gallery).to(device, dtype),
        torch.as_tensor(gallery_labels).to(device),
        **options,
        sort_weight=0.0,
        angle_weight=0.0,
        backend=backend,
    )
    assert_close(loss, wanted.reduced("mean"), NEAR[dtype].loss)
    # An angle of 0.01 costs two digits of the unit rows' sixteen (seven): far within the contract.
    for got, value in zip(grads, wanted.grads("mean"), strict=True):
        assert_close(got, value, {F64: 1e-10, F32: 1e-4}[dtype])
