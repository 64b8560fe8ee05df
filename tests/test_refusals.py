"""Operators refuse what does not fit, below the Python checks, and name it (refusals.py). And bugs that
calls of operators had: each a call that did harm."""

import subprocess
import sys

import pytest
import torch

import drsl_cuda  # noqa: F401  registers the operators
from refusals import CPU_ONLY, WRONG, B, D, G, identify, right_call, rows

NAN, INF = float("nan"), float("inf")
OPERATORS = sorted({case[0] for case in (*WRONG, *CPU_ONLY)})


def call(operator, **changed):
    return getattr(torch.ops.drsl, operator)(**(right_call(operator) | changed))


@pytest.mark.parametrize("operator", OPERATORS)
def test_the_right_call_is_taken(operator):
    results = call(operator)
    assert torch.cat([r.flatten().double() for r in _tuple(results)]).isfinite().any()


@pytest.mark.parametrize("case", [*WRONG, *CPU_ONLY], ids=identify)
def test_what_does_not_fit_is_refused_by_name(case):
    operator, name, value, words = case
    with pytest.raises(RuntimeError, match="drsl: ") as info:
        call(operator, **{name: value})
    assert words in str(info.value)


def _tuple(results):
    return results if isinstance(results, tuple) else (results,)


# --- calls that did harm ---------------------------------------------------------------------------


@pytest.mark.parametrize("value", [INF, -INF, NAN, 1e300])
@pytest.mark.parametrize("name", ["x", "gallery", "x_norm2", "gallery_norm2", "products", "scale"])
@pytest.mark.parametrize("matches", [3, 60])
@pytest.mark.parametrize("limit", [-1, 0])
def test_places_of_what_is_not_finite_stay_within_bounds(name, value, matches, limit):
    """They read distances of columns beyond the last, and sorted numbers that have no order."""
    entries, queries = 70, 5
    given = dict(
        x=rows(queries, D, dtype=torch.float64),
        gallery=rows(entries, D, dtype=torch.float64),
        x_norm2=rows(queries, dtype=torch.float64).abs(),
        gallery_norm2=rows(entries, dtype=torch.float64).abs(),
    )
    lists = dict(
        first_equal=torch.arange(entries, dtype=torch.int32),
        by_identity=torch.arange(entries, dtype=torch.int32),
        begin=torch.zeros(queries, dtype=torch.int64),
        end=torch.full((queries,), matches),
        x_camera=None,
        gallery_camera=None,
    )
    of_rows = dict(gram=rows(queries, entries, dtype=torch.float64))
    of_tiles = dict(
        x_operand=rows(queries, D, dtype=torch.float64),
        gallery_operand=rows(entries, D, dtype=torch.float64),
        limit=limit,
    )
    for some in (given, of_rows, of_tiles):
        for key, numbers in some.items():
            if key == name or (name == "products" and key not in given and key != "limit"):
                numbers.view(-1)[::3] = value
    scales = (value,) if name == "scale" else (1.0, 2.0)
    for on_grid in (False, True):
        call("match_rows", **given, **lists, **of_rows, on_grid=on_grid)
        for scale in scales:
            for width in (1, 30, entries):
                first = torch.arange(entries, dtype=torch.int32) % width
                call(
                    "match_tiles",
                    **given,
                    **(lists | {"first_equal": first}),
                    **of_tiles,
                    on_grid=on_grid,
                    scale=scale,
                    width=width,
                )


def test_parts_and_terms_without_number_do_not_overflow():
    none, wide = torch.zeros(0, dtype=torch.float64), torch.zeros(0, 2**62)
    given = dict(
        x=wide,
        gallery=wide,
        x_norm2=none,
        gallery_norm2=none,
        first_equal=none.int(),
        by_identity=none.int(),
        begin=none.long(),
        end=none.long(),
        x_camera=None,
        gallery_camera=None,
    )
    for parts in (1, 2**61 + 1, 2**62):
        results = call("match_tiles", x_operand=wide, gallery_operand=wide, parts=parts, **given)
        assert all(r.shape == (0,) for r in results)
    results = call("match_rows", gram=none.view(0, 0), **given)
    assert all(r.shape == (0,) for r in results)


MANY_SETS = """
import torch
none = torch.zeros(2**40, 0, 3)
labels = torch.zeros(0, dtype=torch.int64)
for reduction in (0, 1, 2):
    torch.ops.drsl.embedding_loss(none, labels, None, None, None, None, None, "fidi", [1.1, 1.0], False,
                                  reduction, True, False)
matrix = torch.zeros(2**40, 0, 0)
torch.ops.drsl.redistribute(matrix, matrix, matrix, matrix, none, None)
torch.ops.drsl.pairwise(none, None)
torch.ops.drsl.rank_sort(matrix, matrix, labels, None, None, None, "fidi", [1.1, 1.0])
print("over")
"""


def test_sets_without_number_take_no_time():
    """2^40 sets of nothing were looked at one by one, which nobody can interrupt."""
    script = "import drsl_cuda\n" + MANY_SETS
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=600
    )
    assert done.stdout == "over\n", done.stderr


def test_an_unknown_loss_of_nothing_is_refused():
    with pytest.raises(RuntimeError, match="no loss 'none'"):
        call("rank_sort", loss="none", **_nothing())


def _nothing():
    matrix = torch.zeros(0, G)
    none = torch.zeros(0, dtype=torch.int64)
    return dict(
        distance=matrix,
        cosine=matrix,
        labels=none,
        self_index=none,
        exclude=torch.zeros(0, G, dtype=torch.bool),
    )


def test_more_columns_than_32_bits_count_are_refused():
    """They were numbered in 32 bits."""
    matrix = torch.zeros(0, 2**31)
    given = _nothing() | {"distance": matrix, "cosine": matrix, "exclude": None}
    with pytest.raises(RuntimeError, match=r"at most 2\^31 - 1 rows"):
        call("rank_sort", **given)


@pytest.mark.parametrize(
    "operator, changed",
    [
        ("pairwise", {"x": rows(1).expand(2**40, D), "gallery": None}),
        ("squared_lengths", {"rows": rows(1).expand(2**40, D)}),
    ],
)
def test_what_cannot_be_held_says_what_it_is(operator, changed):
    with pytest.raises(RuntimeError, match=r"drsl: no memory for .*\[.*\]: [\d.e+]+ MiB"):
        call(operator, **changed)


@pytest.mark.parametrize("operator", ["rank_sort_loss", "ap_loss"])
def test_inputs_may_share_memory(operator):
    """Of results none does."""
    shared = rows(B).abs()
    results = call(operator, scores=shared, targets=shared)
    apart = call(operator, scores=shared, targets=shared.clone())
    for one, other in zip(results, apart, strict=True):
        assert torch.equal(one, other)
