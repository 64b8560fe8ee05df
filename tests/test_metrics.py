"""drsl_cuda.metrics.evaluate against the protocol in plain NumPy: the same places, to the last one."""

import math

import numpy as np
import pytest
import torch

import oracle_metrics
from cases_metrics import NAMES, problem
from drsl_cuda import _retrieval, metrics
from drsl_cuda._retrieval import lists, on_gpu, operands, rows, tiles
from drsl_cuda.metrics import evaluate
from tolerances import BF16, F16, F32, F64

BACKENDS = pytest.mark.parametrize("backend", ["native", "reference"])
ROUNDING = 1e-14  # means of quotients in another order


def wanted(p, **options):
    """Of the features in the type that they come in."""
    arrays = {k: None if v is None else (v.double() if v.is_floating_point() else v).numpy()
              for k, v in p.items()}  # fmt: skip
    return oracle_metrics.evaluate(**arrays, **options)


def check(p, backend="native", device="cpu", **options):
    there = {k: v if v is None else v.to(device) for k, v in p.items()}
    got, want = evaluate(**there, backend=backend, **options), wanted(p, **options)
    assert np.array_equal(got.first_match.numpy(), want.first_match)
    assert np.array_equal(got.valid.numpy(), want.valid)
    for name in ("ap", "inp", "cmc"):
        np.testing.assert_allclose(getattr(got, name).numpy(), getattr(want, name), rtol=ROUNDING)
    for name in ("mAP", "mINP"):
        np.testing.assert_allclose(getattr(got, name), getattr(want, name), rtol=ROUNDING)
    return got


def placed(p, dtype, device="cpu"):
    return {k: v if v is None else v.to(device, dtype if v.is_floating_point() else None)
            for k, v in p.items()}  # fmt: skip


@BACKENDS
@pytest.mark.parametrize("dtype", [F32, F64], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_places_are_those_of_the_protocol(name, dtype, backend):
    if (name, dtype, backend) == ("tenths", F64, "reference"):
        pytest.skip("ties to the last bit of float64 depend on the order of additions")
    check(placed(NAMES[name](), dtype), backend)


@pytest.mark.parametrize("dtype", [F16, BF16], ids=str)
@pytest.mark.parametrize("name", ["plain", "integer_grid", "duplicates", "rectified", "long_rows"])
def test_half_precision_features_are_taken_as_they_are(name, dtype):
    check(placed(NAMES[name](), dtype))


@pytest.fixture
def measured_only(monkeypatch):
    """However many distances it takes, no query waits for whole rows of products; by one thread."""
    monkeypatch.setattr(_retrieval, "LIMIT", 1e6)
    monkeypatch.setattr(_retrieval, "Rows", None)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_more_near_ties_than_a_tile_lists(measured_only):
    """Over 65,536, which is when they are settled, of rows so long that half of them are read at once."""
    p = problem(500, 400, 1000, seed=5)
    p["gallery"] = p["gallery"][:20].repeat(20, 1)  # whatever matches ties with 19 others
    check(p)


def test_more_matches_than_a_tile_counts(measured_only):
    """300 queries × 4,000 matches: a tile takes fewer queries."""
    p = problem(300, 5000, 3, seed=6, identities=1, spread=3.0)
    p["query_ids"] = torch.ones_like(p["query_ids"])
    p["gallery_ids"] = (torch.arange(5000) % 5 > 0).long()
    check(p | {"query_cams": None, "gallery_cams": None})


@pytest.mark.parametrize("seed", range(20))
def test_random_problems(seed):
    r = np.random.default_rng(seed)
    p = problem(
        int(r.integers(1, 40)), int(r.integers(1, 300)), int(r.integers(1, 70)), seed=seed,
        identities=int(r.integers(1, 30)), cameras=int(r.integers(1, 5)), spread=r.uniform(0.1, 5),
    )  # fmt: skip
    check(p, max_rank=int(r.integers(1, 400)))


@BACKENDS
def test_ids_of_junk_and_distractors_are_the_callers(backend):
    p = problem(seed=3)
    before = check(p, backend)
    for options in (
        {"junk_ids": (3, 5)}, {"junk_ids": ()}, {"distractor_ids": [2, 4, -1]},
        {"distractor_ids": set()}, {"junk_ids": range(-1, 4), "distractor_ids": (5,)},
    ):  # fmt: skip
        assert check(p, backend, **options).mAP != before.mAP


@BACKENDS
@pytest.mark.parametrize("entries", [1, 2, 70])
def test_the_only_match_may_be_the_last_of_all(entries, backend):
    last = torch.arange(1, entries + 1) == entries
    p = {"query": torch.zeros(1, 2), "query_ids": torch.tensor([1]), "query_cams": None,
         "gallery": torch.arange(1.0, entries + 1)[:, None].expand(-1, 2).contiguous(),
         "gallery_ids": torch.where(last, 1, 2), "gallery_cams": None}  # fmt: skip
    got = check(p, backend)
    assert got.first_match.tolist() == [entries] and got.ap.tolist() == [1 / entries]


def test_features_of_two_types_are_promoted():
    p = problem(seed=4)
    p["gallery"] = p["gallery"].double() + 1e-9
    check(p)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int16, torch.int32, torch.uint32])
def test_integers_of_any_width(dtype):
    p = problem(seed=5)
    keys = ("query_ids", "query_cams", "gallery_ids", "gallery_cams")
    p["gallery_ids"] = p["gallery_ids"].clamp(min=0)
    check(p | {k: p[k].to(dtype) for k in keys})


LAYOUTS = {
    "transposed": lambda x: x.t().contiguous().t(),
    "sliced": lambda x: torch.stack([x, -x], 2).flatten(1)[:, ::2],
    "columns_of_more": lambda x: torch.cat([x, x], 1)[:, : x.shape[1]],
    "expanded": lambda x: x[:1].expand(len(x), -1),
}


@BACKENDS
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout(layout, backend):
    p = problem(seed=6)
    check(p | {k: LAYOUTS[layout](p[k]) for k in ("query", "gallery")}, backend)
    check(p | {k: torch.stack([p[k], p[k]], 1)[:, 0] for k in ("query_ids", "gallery_cams")})


CHOICES = (  # where, what, instead
    (tiles, "BLOCK", 7), (tiles, "HEIGHT", 5), (tiles, "TILE_BYTES", 1), (tiles, "TILE_BYTES", 2**17),
    (tiles, "PART", 64), (rows, "BLOCK_BYTES", 1), (rows, "COLUMN_NUMBERS", 1000), (lists, "CHUNK", 999),
    (operands, "CHUNK", 1000), (_retrieval, "LIMIT", 0), (_retrieval, "LIMIT_LEAST", 0),
)  # fmt: skip


def test_results_do_not_depend_on_tiles_blocks_or_limits(monkeypatch):
    p = problem(60, 200, 600, seed=7, spread=5.0)
    usual = check(p)
    for where, name, value in CHOICES:
        monkeypatch.setattr(where, name, value)  # on top of those before
        other = evaluate(**p)
        assert torch.equal(other.ap.nan_to_num(), usual.ap.nan_to_num()), name


def in_tiles(monkeypatch, width, height=3):
    """Tiles of so many columns."""
    monkeypatch.setattr(tiles.Tiles, "shape", lambda *_: (height, width))


@pytest.mark.parametrize("width", [1, 7, 64, 65, 299])
@pytest.mark.parametrize(
    "name",
    ["plain", "long_rows", "integer_grid", "tenths", "duplicates", "all_equal", "outlier", "huge"],
)
def test_tiles_of_any_width(name, width, monkeypatch):
    """One column, less and more than a vector, and one that leaves a narrow last tile."""
    in_tiles(monkeypatch, width)
    p = NAMES[name]()
    check(p)
    check(placed(p, F64))
    check(placed(p, F16)) if name in ("plain", "integer_grid", "duplicates") else None


def test_ties_go_by_index_over_the_borders_of_tiles(monkeypatch):
    """Every match has equals in all tiles, its own and others, some before it and some behind."""
    in_tiles(monkeypatch, 10)
    g = torch.Generator().manual_seed(0)
    kinds = torch.randn(3, 24, generator=g) / 3  # no grid: distances are measured
    kind, ids = torch.arange(95) % 3, torch.randint(0, 9, (95,), generator=g)
    p = problem(20, 95, 24, seed=15)
    p |= {"gallery": kinds[kind], "gallery_ids": ids, "query_ids": torch.arange(20) % 9}
    assert check(p).first_match.max() > 30
    check(p | {"gallery": (4 * p["gallery"]).round(), "query": (4 * p["query"]).round()})


MATCHES = [1, 2, 11, 12, 13, 14, 40, 100, 170]


@pytest.mark.parametrize("matches", MATCHES)
def test_any_number_of_matches_in_tiles(matches, monkeypatch):
    """Few are compared one by one, more fall into buckets; the limit would send most to whole rows."""
    monkeypatch.setattr(_retrieval, "LIMIT", 2)
    monkeypatch.setattr(_retrieval, "Rows", None)
    g = torch.Generator().manual_seed(matches)
    p = problem(6, 700, 12, seed=16, spread=2.0) | {"query_cams": None, "gallery_cams": None}
    ids = torch.full((700,), 2)
    ids[torch.randperm(700, generator=g)[:matches]] = 1
    p |= {"query_ids": torch.ones(6, dtype=torch.int64), "gallery_ids": ids}
    for width in (50, 700):
        in_tiles(monkeypatch, width)
        # a grid, one that float32 products have no digits for, and none
        for f in (torch.round, lambda x: 3e4 + x.round(), lambda x: x**3):
            check(p | {k: f(p[k]) for k in ("query", "gallery")})


def test_matches_may_crowd_far_from_one_that_is_alone(monkeypatch):
    """Buckets of equal width then hold many of them; thresholds that are equal have no width."""
    monkeypatch.setattr(_retrieval, "LIMIT", 2)
    p = problem(8, 500, 6, seed=17, identities=2, spread=0.2)
    for far in (1e2, 1e6, 1e15):
        gallery = p["gallery"].clone()
        gallery[::97] *= far
        check(p | {"gallery": gallery})
    check(p | {"gallery": p["gallery"][:1].expand(500, -1).clone()})


@pytest.mark.parametrize("name", ["near_ties", "mixed_scales", "tenths", "wide_grid"])
def test_a_query_with_many_near_ties_is_settled_in_double_precision(name, monkeypatch):
    settled = []
    scores = rows.Rows.scores
    monkeypatch.setattr(rows.Rows, "scores", lambda *a: settled.append(len(a[1])) or scores(*a))
    monkeypatch.setattr(_retrieval, "LIMIT", 0)
    monkeypatch.setattr(_retrieval, "LIMIT_LEAST", 40)  # matches, and near ties
    check(NAMES[name]())
    assert sum(settled) > 0


@pytest.mark.parametrize("dtype", [F32, F64], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_whole_rows_of_products_in_double_precision_alone(name, dtype, monkeypatch):
    monkeypatch.setattr(_retrieval, "LIMIT", 0)
    monkeypatch.setattr(_retrieval, "LIMIT_LEAST", 0)
    monkeypatch.setattr(_retrieval, "Tiles", None)
    check(placed(NAMES[name](), dtype))


@pytest.mark.parametrize(
    "name", ["near_ties", "tenths", "wide_grid", "duplicates", "two_identities", "biased_sums"]
)
def test_near_ties_may_all_be_measured(name, monkeypatch):
    """Float32 sifts them, double decides: nobody waits for a product in double precision."""
    monkeypatch.setattr(_retrieval, "LIMIT", 2)
    monkeypatch.setattr(_retrieval, "Rows", None)
    check(NAMES[name]())


@pytest.mark.parametrize("limit", [1 / 16, 0], ids=["usual", "none"])
def test_threads_do_not_change_a_bit(limit, monkeypatch):
    """Nor do they change which queries wait for whole rows."""
    in_tiles(monkeypatch, 30, height=100)
    monkeypatch.setattr(_retrieval, "LIMIT", limit)
    p = problem(300, 500, 40, seed=8, spread=3.0)
    before, results = torch.get_num_threads(), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        results.append(evaluate(**p))
    torch.set_num_threads(before)
    for other in results[1:]:
        assert torch.equal(other.ap.nan_to_num(), results[0].ap.nan_to_num())
        assert other.mAP == results[0].mAP and other.mINP == results[0].mINP


def test_products_are_of_full_precision_whatever_torch_is_told():
    p = problem(seed=9)
    torch.set_float32_matmul_precision("medium")
    try:
        check(p)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_a_precision_set_for_all_products_stays_what_it_was_and_can_be_taken_back():
    products = torch.backends.mkldnn.matmul
    products.fp32_precision = "none"  # no value of its own
    torch.backends.fp32_precision = "bf16"
    try:
        check(problem(seed=9))
        assert products.fp32_precision == "bf16"
    finally:
        torch.backends.fp32_precision = "none"
    assert products.fp32_precision == "none"  # not left at what it had inherited


def test_a_curve_longer_than_the_gallery_goes_on_at_its_end():
    p = problem(20, 30, seed=10)
    result = check(p, max_rank=100)
    assert result.cmc.shape == (100,) and result.cmc[30:].eq(1).all()
    assert check(p, max_rank=1).cmc.shape == (1,)


def test_without_a_query_that_counts_means_are_nan():
    for name in ("one_camera", "no_queries", "no_gallery"):
        result = check(NAMES[name]())
        assert math.isnan(result.mAP) and math.isnan(result.mINP) and result.cmc.isnan().all()
        assert not result.valid.any() and result.first_match.eq(0).all()
        assert "nan" in str(result)


def test_the_result_says_what_it_is():
    result = evaluate(**problem(seed=11))
    assert result.cmc.dtype == result.ap.dtype == result.inp.dtype == F64
    assert result.first_match.dtype == torch.int64 and result.valid.dtype == torch.bool
    assert result.ap.isnan().eq(~result.valid).all()
    assert f"mAP {100 * result.mAP:.2f} %" in str(result) and "rank-1" in str(result)
    assert f"{int(result.valid.sum())} of 30" in str(result)
    with pytest.raises(AttributeError):
        result.mAP = 1.0


def test_features_may_require_a_gradient():
    p = problem(seed=12)
    p["query"].requires_grad_()
    assert not evaluate(**p).ap.requires_grad


def test_on_a_device(device):
    p = problem(seed=13)
    result, want = evaluate(**placed(p, F32, device)), wanted(p)
    assert result.ap.device.type == "cpu"
    np.testing.assert_allclose(result.ap.numpy(), want.ap, rtol=ROUNDING)


ON_A_GPU = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("dtype", [F32, F64, F16, BF16], ids=str)
@pytest.mark.parametrize("name", [pytest.param(n, marks=ON_A_GPU) for n in NAMES])
def test_places_on_a_gpu_are_those_of_the_protocol(name, dtype, small, monkeypatch):
    """Also in many blocks and tiles, and with so few near ties allowed that queries are given up."""
    if dtype in (F16, BF16) and name not in ("plain", "integer_grid", "duplicates", "rectified"):
        pytest.skip("other numbers than these")
    if (name, dtype) == ("tenths", F64):
        pytest.skip("ties to the last bit of float64 depend on the order of additions")
    if small:
        for limit, value in (("BLOCK", 13), ("WIDTH", 64), ("LIMIT", 0), ("LIMIT_LEAST", 2)):
            monkeypatch.setattr(on_gpu, limit, value)
    check(placed(NAMES[name](), dtype), device="cuda")


@pytest.mark.parametrize("matches", [pytest.param(n, marks=ON_A_GPU) for n in (3, 90, 2000, 5000)])
def test_a_large_gallery_on_a_gpu_is_as_on_the_cpu(matches):
    """Several tiles, blocks that share out strips, and more matches than a block has room for."""
    p = problem(60, 30_000, 96, seed=21, spread=3.0)
    p |= {"query_ids": torch.ones(60, dtype=torch.int64), "query_cams": None, "gallery_cams": None}
    p |= {"gallery_ids": 2 - (torch.arange(30_000) % 7919 < matches * 7919 // 30_000).long()}
    here, there = evaluate(**p), evaluate(**placed(p, F32, "cuda"))
    assert torch.equal(here.ap, there.ap) and torch.equal(here.first_match, there.first_match)


def test_native_and_reference_agree_on_more():
    p = problem(700, 900, 48, seed=14, identities=40, spread=4.0)
    native, reference = evaluate(**p), evaluate(**p, backend="reference")
    assert torch.equal(native.first_match, reference.first_match)
    torch.testing.assert_close(native.ap, reference.ap, rtol=ROUNDING, atol=0, equal_nan=True)
    assert isinstance(native, metrics.Evaluation)
