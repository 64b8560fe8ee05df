"""The CUDA kernels of the evaluation, run on host threads (on_host_threads.py): the places of the protocol.

What a GPU does block by block and tile by tile happens here to a few hundred entries: limits are made
small, so that there are several blocks, tiles and strips, and queries that are given up.
"""

import contextlib
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cases_metrics import NAMES, problem
from drsl_cuda import _ops, metrics
from drsl_cuda._retrieval import on_gpu
from drsl_cuda.reference import evaluate as reference
from fuzz_kit import fuzz
from on_host_threads import ORDERS, launches, on_host_threads
from test_metrics import check, placed, wanted
from test_metrics_fuzz import retrievals
from tolerances import BF16, F16, F32, F64

ORDER = pytest.mark.parametrize("order", ORDERS)
SANITIZED = ("plain", "duplicates", "mixed_scales", "two_identities", "one_of_each", "outlier")
CASES = [pytest.param(n, marks=pytest.mark.sanitized) if n in SANITIZED else n for n in NAMES]


@contextlib.contextmanager
def kernels(order="warp", **limits):
    """evaluate as it is on a GPU; limits of on_gpu.py by name."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(on_host_threads(order))
        stack.enter_context(mock.patch.object(metrics, "_runner", lambda *_: on_gpu.match_places))
        for name, value in limits.items():
            stack.enter_context(mock.patch.object(on_gpu, name, value))
        yield


@pytest.mark.parametrize("name", CASES)
def test_places_are_those_of_the_protocol(name):
    p = NAMES[name]()
    with kernels(ORDERS[len(name) % len(ORDERS)], BLOCK=13, WIDTH=64):
        before = launches()
        check(placed(p, F32))
        check(placed(p, F64)) if name != "tenths" else None  # ties to the last bit
        assert launches() > before


@pytest.mark.sanitized
@pytest.mark.parametrize("dtype", [F16, BF16], ids=str)
@pytest.mark.parametrize("name", ["plain", "integer_grid", "duplicates", "rectified", "long_rows"])
def test_half_precision_features_are_taken_as_they_are(name, dtype):
    with kernels(WIDTH=80):
        check(placed(NAMES[name](), dtype))


@pytest.fixture
def settled(monkeypatch):
    """Numbers of queries that whole rows of distances settle."""
    numbers, whole_rows = [], on_gpu._whole_rows
    monkeypatch.setattr(
        on_gpu, "_whole_rows", lambda *a: numbers.append(len(a[3])) or whole_rows(*a)
    )
    return numbers


@pytest.mark.sanitized
@pytest.mark.parametrize("limits", [{"SLOTS": 3}, {"LIMIT": 0, "LIMIT_LEAST": 0}, {"LONGEST": 7}])
def test_queries_beyond_a_limit_are_settled_by_whole_rows(limits, settled):
    for name in ("plain", "duplicates"):
        with kernels(**limits):
            check(NAMES[name]())
    assert sum(settled) > 0


def test_features_that_a_bound_tells_apart_need_no_whole_rows(settled):
    """Nor many distances: random ones, far from the origin, beside an outlier, of half precision."""
    far = problem(20, 500, 48, seed=2)
    far |= {k: far[k].double() + 1000 for k in ("query", "gallery")}
    some = [problem(20, 500, 48, seed=1), far, NAMES["outlier"]()]
    with kernels(LIMIT=0, LIMIT_LEAST=3):
        for p in some:
            check(p)
        check(placed(some[0], BF16))
    assert settled == []


@ORDER
def test_measured_ties_go_by_index(settled, order):
    """Duplicates of matches, before them and behind: all are listed, and nobody is given up."""
    p = problem(15, 300, 24, seed=3)
    p |= {"gallery": p["gallery"][torch.arange(300) % 11]}
    with kernels(order, LIMIT=1, WIDTH=48):
        check(p)
    assert settled == []


@pytest.mark.sanitized
@ORDER
def test_every_order_and_many_strips(order):
    """More columns than a block takes, more queries than one takes, matches on both sides of borders."""
    p = problem(9, 2500, 5, seed=4, identities=6)
    with kernels(order, BLOCK=6):
        check(p)


@pytest.mark.parametrize("matches", [1, 2, 40, 700, 1500])
def test_any_number_of_matches(matches, settled):
    g = torch.Generator().manual_seed(matches)
    p = problem(3, 1600, 12, seed=5) | {"query_cams": None, "gallery_cams": None}
    ids = torch.full((1600,), 2)
    ids[torch.randperm(1600, generator=g)[:matches]] = 1
    p |= {"query_ids": torch.ones(3, dtype=torch.int64), "gallery_ids": ids}
    with kernels():
        check(p)
    assert settled == []


def test_one_identity_and_rows_that_are_all_equal(settled):
    p = problem(4, 2100, 6, seed=6) | {"query_cams": None, "gallery_cams": None}
    p |= {"query_ids": torch.ones(4, dtype=torch.int64), "gallery_ids": torch.arange(2100) // 2090}
    p |= {"gallery_ids": 1 - p["gallery_ids"] * 3}
    p |= {k: p[k][:1].expand(len(p[k]), -1) for k in ("query", "gallery")}
    with kernels():
        check(p)
    assert settled == [4]  # more matches than there are slots


def test_orders_and_blocks_do_not_change_a_bit():
    p = problem(30, 400, 20, seed=7, spread=3.0)
    results = []
    for order, limits in zip(ORDERS, ({}, {"BLOCK": 7}, {"WIDTH": 16}, {"LIMIT": 0}), strict=True):
        with kernels(order, **limits):
            results.append(metrics.evaluate(**p))
    for other in results[1:]:
        assert torch.equal(other.ap.nan_to_num(), results[0].ap.nan_to_num())
        assert torch.equal(other.first_match, results[0].first_match)


def test_options_progress_and_errors():
    p, told = problem(seed=8), []
    with kernels(BLOCK=5):
        check(p, junk_ids=(3, 5), distractor_ids=(2,))
        metrics.evaluate(**p, progress=lambda *a: told.append(a))
        for key, row in (("query", 4), ("gallery", 7)):
            wrong = p[key].clone()
            wrong[row, 1] = torch.nan
            with pytest.raises(ValueError, match=f"{key} must be finite, got nan in row {row}"):
                metrics.evaluate(**(p | {key: wrong}))
    assert told[-1] == (30, 30) and told == sorted(told) and len(told) > 3


@pytest.mark.sanitized
@pytest.mark.parametrize("dtype", [F64, F32, F16, BF16], ids=str)
@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 70, 8), (9, 33, 37), (0, 3, 2), (3, 0, 2)])
def test_distances_and_lengths(shape, dtype):
    queries, entries, dim = shape
    x, r = (torch.randn(n, dim, dtype=F64).to(dtype) for n in (queries, entries))
    with on_host_threads("warp"):
        got, lengths = _ops.EXACT_DISTANCES(x, r), _ops.SQUARED_LENGTHS(r)
    want = (x.double()[:, None] - r.double()).square().sum(-1)
    torch.testing.assert_close(got, want, rtol=1e-14, atol=0)
    torch.testing.assert_close(lengths, r.double().square().sum(-1), rtol=1e-14, atol=0)


@pytest.mark.sanitized
@pytest.mark.parametrize("dtype", [F64, F32, F16, BF16], ids=str)
@pytest.mark.parametrize("mirrored", [False, True])
def test_digits_are_the_rows(dtype, mirrored):
    """To 23 bits of the largest number of each; and what is said of the rest is so."""
    x = (torch.randn(7, 19, dtype=F64) * 10.0 ** torch.linspace(-3, 0, 7)[:, None]).to(dtype)
    x[3], x[4, 5] = 0, 30.0
    centre = torch.linspace(-1, 1, 19, dtype=F64) * (0.01 if mirrored else 0)
    with on_host_threads("warp"):
        digits, columns, rows = _ops.FIXED_POINT(x, centre, 0.125, mirrored)
    assert digits.shape == (32, 3 * 32) and columns.shape == (32, 2) and rows.shape == (7, 6)
    parts = digits.view(32, 3, 32).double()
    assert parts[7:].eq(0).all() and parts[:, :, 19:].eq(0).all()
    if mirrored:
        parts = parts.flip(1)
    step, norm2, *lengths = rows.T
    a, b, c = (parts[:7, i, :19] * step[:, None] * 256.0 ** (2 - i) for i in range(3))
    wanted_rows = 0.125 * (x.double() - centre)
    rest = wanted_rows - a - b - c
    assert (rest.abs() <= 0.501 * step[:, None]).all()
    assert (step * 127 * 65536 <= 1.01 * wanted_rows.abs().amax(1)).all()
    for got, part in zip(lengths, (wanted_rows, rest, b, c), strict=True):
        torch.testing.assert_close(got, part.norm(dim=1), rtol=1e-9, atol=1e-18)
    torch.testing.assert_close(norm2, wanted_rows.square().sum(1), rtol=1e-14, atol=0)
    torch.testing.assert_close(columns[:7, 0].double(), norm2, rtol=1e-7, atol=0)
    assert torch.equal(columns[:7, 1].double(), -2 * step)
    assert columns[7:, 0].isinf().all()


def test_the_bound_holds_and_is_as_small_as_it_is_said_to_be():
    """v of every pair from the digits as the kernel forms it, against exact numbers."""
    g = torch.Generator().manual_seed(9)
    kinds = [
        torch.randn(40, 96, generator=g),
        torch.rand(40, 96, generator=g),
        torch.randn(40, 96, generator=g) ** 5,
    ]
    for x in kinds:
        x = x.double() / x.double().norm(dim=1).max()
        with on_host_threads("warp"):
            digits, columns, rows = _ops.FIXED_POINT(x, None, 1.0, False)
        a, b, c = digits[:40].view(40, 3, 96).double().unbind(1)
        upper, middle, lower = a @ a.T, a @ b.T + b @ a.T, a @ c.T + b @ b.T + c @ a.T
        sums = (upper * 65536 + middle * 256 + lower).float()
        step = (65536 * rows[:, 0]).float()
        v = columns[:40, 0] + columns[:40, 1] * (step[:, None] * sums)
        off = (v.double() - (rows[:, 1] - 2 * x @ x.T)).abs()
        bound = bound_of(rows, 96)
        assert (off <= bound).all()
        assert (bound <= 60 * 2.0**-24 * (1 + rows[:, 2] ** 2)).all()


def test_digits_that_are_left_out_may_decide(settled):
    """Rows that differ in their second and third digits alone, whose products are not all formed.

    They add up to more than rounding, and than what lies between two entries.
    """
    g = torch.Generator().manual_seed(13)

    def rows(count):
        second, third = torch.randint(0, 2, (2, count, 400), generator=g) * 2 - 1
        largest = torch.full((count, 1), 127 * 65536 + 127 * 256 + 127)  # sets the unit
        return torch.cat([largest, 32512 * second + 127 * third], 1).float()

    p = problem(12, 1500, 401, seed=14) | {"query": rows(12), "gallery": rows(1500)}
    with kernels(LIMIT=1), mock.patch.object(on_gpu, "centre_of", lambda _: None):
        check(p)
    assert settled == []


def bound_of(rows, dim):
    """csrc/core/fixed_point.h once more."""
    whole, rest, middle, last = rows[:, 2:].T
    reach = whole + rest + 2 * (middle + last)
    out = (whole[:, None] * rest + rest[:, None] * (whole + rest) + middle[:, None] * last
           + last[:, None] * middle + last[:, None] * last)  # fmt: skip
    squares = reach[:, None] * reach + reach**2 + reach[:, None] ** 2
    return 1.02 * (2 * out + 2.0**-24 * (16 * reach[:, None] * reach + 5 * reach**2)
                   + 2.0**-52 * (dim + 16) * squares) + 2.0**-100  # fmt: skip


GARBAGE = (torch.nan, torch.inf, -torch.inf, 1e38, -1.0)


@pytest.mark.sanitized
@pytest.mark.parametrize("value", GARBAGE)
@pytest.mark.parametrize(
    "name", ["x", "gallery", "columns", "rows", "most", "centre", "digits", "lists"]
)
def test_what_makes_no_sense_stays_within_bounds(name, value):
    """The host does not look at numbers; results need mean nothing."""
    p = problem(5, 90, 8, seed=11)
    lists = on_gpu.Lists(
        *(p[k] for k in ("query_ids", "query_cams", "gallery_ids", "gallery_cams")), (), ()
    )
    with on_host_threads("warp"):
        digits, columns, rows = _ops.FIXED_POINT(p["gallery"], None, 0.1, True)
        call = dict(
            x=p["query"], gallery=p["gallery"], digits=digits, columns=columns, rows=rows,
            most=rows.amax(0), centre=torch.zeros(8, dtype=F64), by_identity=lists.by_identity,
            begin=lists.begin, end=lists.end, x_camera=p["query_cams"], gallery_camera=p["gallery_cams"],
            scale=0.1, width=48, slots=20, limit=7,
        )  # fmt: skip
        if name == "digits":
            digits[::3] = -128
        elif name == "lists":
            for key, most in (("by_identity", 2**31 - 1), ("begin", 2**62), ("end", 2**62)):
                bound = most if value != value else int(min(max(value, -most), most))
                call[key][::3] = bound
        else:
            call[name].view(-1)[::3] = value
        ap, _, first = torch.ops.drsl.match_digits(**call)
    assert ap.shape == (5,) and first.ge(-1).all()


def test_what_torch_is_told_of_the_operators():
    p = problem(5, 40, 8, seed=12)
    lists = on_gpu.Lists(
        *(p[k] for k in ("query_ids", "query_cams", "gallery_ids", "gallery_cams")), (), ()
    )
    with on_host_threads("warp"):
        fixed = _ops.FIXED_POINT(p["gallery"], None, 0.1, True)
        given = (
            p["query"], p["gallery"], *fixed, fixed[2].amax(0), None, lists.by_identity, lists.begin,
            lists.end, p["query_cams"], p["gallery_cams"], 0.1, 16, 20, 7,
        )  # fmt: skip
        torch.library.opcheck(_ops.MATCH_DIGITS, given)
        torch.library.opcheck(_ops.FIXED_POINT, (p["gallery"], None, 0.1, False))
        torch.library.opcheck(_ops.EXACT_DISTANCES, (p["query"], p["gallery"]))


def test_sorting_given_distances_is_the_reference():
    p = problem(seed=10)
    lists = [
        p[k] for k in ("query", "query_ids", "query_cams", "gallery", "gallery_ids", "gallery_cams")
    ]
    with on_host_threads("warp"):
        got = reference.match_places(
            *lists, (-1,), (0,), lambda *_: None,
            lambda rows: _ops.EXACT_DISTANCES(p["query"][rows], p["gallery"]),
        )  # fmt: skip
    np.testing.assert_array_equal(got[2].numpy(), wanted(p).first_match)


@fuzz(60)
@given(
    retrievals(),
    st.sampled_from(ORDERS),
    st.sets(st.integers(-1, 3)),
    st.sets(st.integers(-1, 3)),
    st.sampled_from([(2048, 8192, 2048, 64), (3, 16, 2048, 64), (2, 32, 4, 64), (5, 16, 20, 2)]),
)
def test_places_of_what_nobody_thought_of(problem, order, junk, distractors, limits):
    names = ("BLOCK", "WIDTH", "SLOTS", "LIMIT_LEAST")
    with kernels(order, LIMIT=0, **dict(zip(names, limits, strict=True))):
        check(problem, junk_ids=junk, distractor_ids=distractors)
