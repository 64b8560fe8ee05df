"""Distance and cosine of every pair, and their derivative."""

import numpy as np
import pytest
import torch

import oracle
from cases import build, names
from drsl_cuda import functional, reference
from tolerances import (
    BF16,
    CONTRACT,
    COSINE,
    DISTANCE,
    F16,
    F32,
    F64,
    NEAR,
    ROUNDING,
    accumulation_name,
    assert_close,
    cosine_floor,
)

IMPLEMENTATIONS = {"native": functional, "reference": reference}
# Pairs do not depend on labels or settings: one case for each kind of rows.
ROWS = [n for n in names() if n.startswith((
    "size_", "dim_", "scale_", "extreme_", "near_", "outlier", "rows_of", "duplicates", "all_", "zero",
    "antipodes", "empty", "sets_gallery", "sets_3", "gallery_wide", "gallery_narrow", "gallery_empty",
    "queries_empty", "gallery_is",
)) and not n.endswith("delta_0")]  # fmt: skip
ROWS_BY_TYPE = [
    pytest.param(name, dtype, id=f"{name}-{str(dtype).removeprefix('torch.')}")
    for dtype in (F64, F32, F16, BF16)
    for name in ROWS
    if name in names(dtype=dtype)
]


def oracle_pairs(x, gallery, accumulation):
    """Also with a leading axis of sets."""
    if x.ndim == 2:
        return oracle.pairwise(x, gallery, accumulation)
    each = [
        oracle.pairwise(x[s], None if gallery is None else gallery[s], accumulation)
        for s in range(len(x))
    ]
    return np.stack([d for d, _ in each]), np.stack([c for _, c in each])


@pytest.fixture(params=IMPLEMENTATIONS)
def pairwise(request):
    return IMPLEMENTATIONS[request.param].pairwise_distance_angle


@pytest.mark.parametrize("name, dtype", ROWS_BY_TYPE)
def test_every_pair_matches_the_oracle(name, dtype, pairwise, device):
    c = build(name)
    gallery = None if c.gallery is None else c.gallery.to(device, dtype)
    distance, cosine = pairwise(c.x.to(device, dtype), gallery)
    compute = F64 if dtype == F64 else F32
    assert distance.dtype == cosine.dtype == compute
    wanted = oracle_pairs(
        c.x.numpy(), None if c.gallery is None else c.gallery.numpy(), accumulation_name(dtype)
    )
    # Elementwise: each single distance is promised, near or far.
    np.testing.assert_allclose(distance.cpu().double(), wanted[0], rtol=DISTANCE[compute], atol=0)
    np.testing.assert_allclose(cosine.cpu().double(), wanted[1], rtol=0, atol=COSINE[compute])


# 1/(|x||r|) is below the smallest number of the type there, and kernels form it (docs/numerics.md).
BEYOND_KERNELS = {("extreme_2^100", F32), ("extreme_2^600", F64)}


@pytest.mark.parametrize("name, dtype", [p for p in ROWS_BY_TYPE if p.values[1] in (F64, F32)])
def test_the_derivative_matches_the_oracle(name, dtype, pairwise, device, on_kernels):
    c = build(name)
    rng = np.random.default_rng(5)
    x = c.x.to(device, dtype, copy=True).requires_grad_()
    gallery = None if c.gallery is None else c.gallery.to(device, dtype, copy=True).requires_grad_()
    outputs = pairwise(x, gallery)
    cotangents = [rng.standard_normal(tuple(outputs[0].shape)) for _ in outputs]
    # At extreme scales one of the two derivatives drowns the other: each is checked by itself.
    beyond = on_kernels and pairwise is functional.pairwise_distance_angle
    beyond = beyond and (name, dtype) in BEYOND_KERNELS
    for which in (0,) if beyond else (0, 1):
        inputs = [x] if gallery is None else [x, gallery]
        got = torch.autograd.grad(
            outputs[which],
            inputs,
            torch.as_tensor(cotangents[which]).to(outputs[which]),
            retain_graph=True,
        )
        parts = [cotangents[k] if k == which else np.zeros_like(cotangents[k]) for k in (0, 1)]
        wanted = oracle_gradients(c, parts, accumulation_name(dtype))
        near = "near_" in name
        tolerance = (NEAR if near else CONTRACT)[dtype].grad
        floor = cosine_floor(parts[1], c.x.numpy(), tolerance if near else ROUNDING[dtype])
        for side, value in zip(got, wanted, strict=True):
            assert_close(side, value, tolerance, floor=floor, what=("∂distance", "∂cosine")[which])


def oracle_gradients(c, parts, accumulation):
    x, gallery = c.x.numpy(), None if c.gallery is None else c.gallery.numpy()
    if x.ndim == 2:
        each = [oracle.redistribute(*parts, x, gallery, accumulation)]
    else:
        each = [
            oracle.redistribute(
                parts[0][s],
                parts[1][s],
                x[s],
                None if gallery is None else gallery[s],
                accumulation,
            )
            for s in range(len(x))
        ]
    if x.ndim == 2:
        side_x, side_r = each[0]
    else:
        side_x, side_r = (np.stack(side) for side in zip(*each, strict=True))
    return [side_x + side_r] if gallery is None else [side_x, side_r]


@pytest.mark.parametrize("dtype", [F64, F32, F16, BF16], ids=str)
@pytest.mark.parametrize("size, dim", [(7, 3), (65, 17), (130, 64)])
def test_equal_rows_have_distance_zero_and_equal_cosines_exactly(
    size, dim, dtype, pairwise, device
):
    generator = torch.Generator().manual_seed(size)
    pool = torch.randn(size // 3 + 1, dim, generator=generator).to(device, dtype)
    source = torch.randint(len(pool), (size,), generator=generator).to(device)
    x = pool[source] * 3 + 5  # an offset, so that the Gram matrix would not give zero by itself
    same = source[:, None] == source[None]
    for gallery in (None, x.clone(), x):
        distance, cosine = pairwise(x, gallery)
        assert not distance[same].any()
        assert distance[~same].gt(0).all()
        for k in range(size):  # columns of equal rows are equal bit by bit
            first = (source == source[k]).nonzero()[0, 0]
            assert torch.equal(cosine[:, k], cosine[:, first])
            assert torch.equal(distance[:, k], distance[:, first])


@pytest.mark.parametrize("dtype", [F64, F32], ids=str)
def test_without_a_gallery_the_result_is_symmetric_with_a_zero_diagonal(dtype, pairwise, device):
    x = build("size_65").x.to(device, dtype)
    distance, cosine = pairwise(x)
    assert not distance.diagonal().any()
    assert torch.equal(distance, distance.T)
    assert torch.equal(cosine, cosine.T)


@pytest.mark.parametrize("ratio", [1e-1, 1e-2, 1e-3, 1e-4])
def test_float32_keeps_near_pairs(ratio, pairwise, device):
    # The contract: d to 1e-5 and ∂d/∂x to 1e-3, relative, pair by pair, down to d/|x| = 1e-4.
    rng = np.random.default_rng(11)
    base = rng.standard_normal((20, 32))
    base /= np.linalg.norm(base, axis=1, keepdims=True)
    moved = base + ratio * rng.standard_normal((20, 32)) / np.sqrt(32)
    x, r = torch.as_tensor(base, dtype=F32), torch.as_tensor(moved, dtype=F32)
    wanted, _ = oracle.pairwise(x.double().numpy(), r.double().numpy())
    x, r = x.to(device).requires_grad_(), r.to(device)
    distance, _ = pairwise(x, r)
    np.testing.assert_allclose(distance.detach().cpu().double(), wanted, rtol=1e-5)
    (got,) = torch.autograd.grad(distance.diagonal().sum(), x)
    direction = (x - r).detach().cpu().double().numpy() / np.diag(wanted)[:, None]
    error = np.linalg.norm(got.cpu().double().numpy() - direction, axis=1)
    assert error.max() <= 1e-3, error.max()


@pytest.mark.parametrize("own", [True, False])
def test_near_pairs_of_sets_are_those_of_each_set(own, pairwise, device):
    rng = np.random.default_rng(3)
    base = rng.standard_normal((3, 4, 5))
    r = np.concatenate([base, base + 1e-3 * rng.standard_normal(base.shape)], axis=1)
    x = r if own else base - 1e-3  # each has one or two near it
    distance, cosine = pairwise(*(torch.as_tensor(rows).to(device) for rows in [x, r][: 2 - own]))
    wanted = oracle_pairs(x, None if own else r, "float64")
    np.testing.assert_allclose(distance.cpu(), wanted[0], rtol=DISTANCE[F64], atol=0)
    np.testing.assert_allclose(1 - cosine.cpu(), 1 - wanted[1], rtol=0, atol=COSINE[F64])


def test_an_overflowing_distance_is_not_finite_and_others_are(pairwise, device):
    top = 3e38
    x = torch.tensor([[top, 0.0], [-top, 0.0], [1.0, 0.0], [0.0, 2.0]], dtype=F32, device=device)
    distance, cosine = pairwise(x)
    assert not distance[0, 1].isfinite()
    assert distance[2, 3].item() == pytest.approx(5**0.5, rel=1e-6)
    assert distance[0, 2].item() == pytest.approx(top, rel=1e-6)
    assert cosine[2, 3].abs() <= 1e-6
    assert cosine[0, 2].item() == pytest.approx(1.0, abs=1e-6)


def test_a_row_that_holds_nan_spoils_its_own_pairs_only(pairwise, device):
    x = build("size_17").x.to(device).clone()
    clean, _ = pairwise(x)
    x[4, 2] = torch.nan
    distance, cosine = pairwise(x)
    spoiled = torch.zeros(17, 17, dtype=torch.bool, device=device)
    spoiled[4] = spoiled[:, 4] = True
    spoiled.fill_diagonal_(False)  # d of a row to itself is 0 by definition
    assert distance[spoiled].isnan().all() and cosine[spoiled].isnan().all()
    spoiled.fill_diagonal_(True)
    assert_close(distance[~spoiled], clean[~spoiled], 1e-12)


def test_tiny_rows_beside_ordinary_ones_keep_their_distance(pairwise):
    # Squares of 1e-200 are 0 in float64, the distance between two such rows is not. On a CPU.
    x = torch.tensor([[1.0, 0.0], [3e-200, 0.0], [0.0, 4e-200]], dtype=F64)
    distance, _ = pairwise(x)
    assert_close(distance[1, 2], torch.tensor(5e-200, dtype=F64), 1e-12)
    assert_close(distance[0], torch.tensor([0.0, 1.0, 1.0], dtype=F64), 1e-12)


@pytest.mark.parametrize("dtype", [F64, F32], ids=str)
def test_no_cosine_is_beyond_one(dtype, pairwise, device):
    # Rounding would take it there: rows that are equal or opposite but for their length.
    x = torch.randn(200, 7, generator=torch.Generator().manual_seed(1), dtype=F64).to(device, dtype)
    for factor in (1 + 2.0**-20, 3.0, -1.0, -3.0):
        _, cosine = pairwise(x, x * factor)
        assert cosine.abs().max() <= 1
