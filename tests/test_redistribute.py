"""Primary terms → gradient of queries and gallery."""

import numpy as np
import pytest
import torch

import oracle
from cases import build
from tolerances import CONTRACT, F32, F64, NEAR, ROUNDING, assert_close, cosine_floor

# Rows of every kind: ordinary, tails, one column, near, coincident, zero, opposite, extreme.
PLAIN = ("pk_8x4", "size_1", "size_2", "size_33", "size_130", "dim_1", "dim_100", "near_1e-3", "near_1e-4",
         "duplicates", "all_in_one_point", "zero_rows", "antipodes", "outlier", "rows_of_many_scales",
         "extreme_2^60", "extreme_2^-50", "empty_batch")  # fmt: skip
WITH_GALLERY = ("gallery", "gallery_wide", "gallery_narrow", "gallery_of_one", "duplicates_in_gallery",
                "gallery_is_the_batch", "gallery_empty", "queries_empty")  # fmt: skip


def coefficients(shape, seed, holes=0.0):
    rng = np.random.default_rng(seed)
    both = rng.standard_normal((2, *shape))
    both[:, rng.random(shape) < holes] = 0.0
    return both


def redistribute(by_d, by_cos, x, gallery, dtype, device):
    """The native operator on what the native pairwise gives."""

    def place(value):
        return torch.as_tensor(value).to(device, dtype)

    x, gallery = place(x), None if gallery is None else place(gallery)
    distance, cosine = torch.ops.drsl.pairwise(x, gallery)
    return torch.ops.drsl.redistribute(place(by_d), place(by_cos), distance, cosine, x, gallery)


@pytest.mark.parametrize("name", PLAIN + WITH_GALLERY)
@pytest.mark.parametrize("which", ["distance", "cosine"])
@pytest.mark.parametrize("dtype", [F64, F32], ids=str)
def test_each_side_matches_the_oracle(name, which, dtype, device):
    c = build(name)
    x, gallery = c.x.numpy(), None if c.gallery is None else c.gallery.numpy()
    by_d, by_cos = coefficients((len(x), len(x if gallery is None else gallery)), 1)
    # Apart, because at extreme scales one of the two drowns the other.
    (by_cos if which == "distance" else by_d)[:] = 0.0
    wanted_x, wanted_r = oracle.redistribute(
        by_d, by_cos, x, gallery, str(dtype).removeprefix("torch.")
    )
    got_x, got_r = redistribute(by_d, by_cos, x, gallery, dtype, device)
    near = "near_" in name
    tolerance = (NEAR if near else CONTRACT)[dtype].grad
    floor = cosine_floor(by_cos, x, tolerance if near else ROUNDING[dtype])
    if gallery is None:
        assert got_r.numel() == 0
        wanted_x = wanted_x + wanted_r
    else:
        assert_close(got_r, wanted_r, tolerance, floor=floor, what="gallery")
    assert_close(got_x, wanted_x, tolerance, floor=floor, what="queries")


@pytest.mark.parametrize("dtype", [F64, F32], ids=str)
def test_the_coefficients_of_the_diagonal_change_nothing_without_a_gallery(dtype, device):
    # d of a row to itself is the constant 0 and its cosine the constant 1.
    x = build("size_33").x.numpy()
    by_d, by_cos = coefficients((33, 33), 2)
    loud, _ = redistribute(by_d, by_cos, x, None, dtype, device)
    np.fill_diagonal(by_d, 0.0)
    np.fill_diagonal(by_cos, 0.0)
    quiet, _ = redistribute(by_d, by_cos, x, None, dtype, device)
    assert_close(loud, quiet, CONTRACT[dtype].grad)


@pytest.mark.parametrize("name", ["pk_8x4", "near_1e-3", "duplicates"])
def test_distances_alone_move_the_centre_of_mass_nowhere(name, device):
    x = build(name).x.numpy()
    by_d, by_cos = coefficients((len(x), len(x)), 3)
    got, _ = redistribute(by_d, 0 * by_cos, x, None, F64, device)
    assert got.abs().max() > 0
    assert got.sum(0).abs().max() <= 1e-10 * got.abs().sum()


def test_cosines_alone_move_no_row_along_itself(device):
    x = build("pk_8x4").x.numpy()
    by_d, by_cos = coefficients((len(x), len(x)), 4)
    got, _ = redistribute(0 * by_d, by_cos, x, None, F64, device)
    radial = (got.cpu() * torch.as_tensor(x)).sum(-1) / torch.as_tensor(x).norm(dim=-1)
    assert got.norm(dim=-1).min() > 0
    assert (radial.abs() <= 1e-12 * got.cpu().norm(dim=-1)).all()


@pytest.mark.parametrize("gallery", [False, True], ids=["batch", "gallery"])
@pytest.mark.parametrize("value", [np.nan, np.inf], ids=str)
def test_a_pair_without_coefficients_does_not_leak(value, gallery, device):
    # Entry 2 of the gallery side is not finite, and no query gives it a coefficient.
    c = build("gallery" if gallery else "pk_8x4")
    x = c.x.numpy().copy()
    r = c.gallery.numpy().copy() if gallery else None
    by_d, by_cos = coefficients((len(x), len(x if r is None else r)), 5, holes=0.2)
    for part in (by_d, by_cos):
        part[:, 2] = 0.0
        if not gallery:
            part[2] = 0.0
    wanted = oracle.redistribute(by_d, by_cos, x, r)
    (x if r is None else r)[2, 1] = value
    got_x, got_r = redistribute(by_d, by_cos, x, r, F64, device)
    if gallery:
        assert_close(got_x, wanted[0], 1e-9)
        assert_close(got_r, wanted[1], 1e-9)
    else:
        assert_close(got_x, wanted[0] + wanted[1], 1e-9)


def test_sets_are_independent(device):
    c = build("sets_gallery")
    by_d, by_cos = coefficients((*c.x.shape[:2], c.gallery.shape[1]), 6)
    got = redistribute(by_d, by_cos, c.x, c.gallery, F64, device)
    for s in range(len(c.x)):
        wanted = oracle.redistribute(by_d[s], by_cos[s], c.x[s].numpy(), c.gallery[s].numpy())
        assert_close(got[0][s], wanted[0], 1e-9)
        assert_close(got[1][s], wanted[1], 1e-9)
