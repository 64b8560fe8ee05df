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
@pytest.mark.parametrize("name", ["x", "gallery", "x_norm2", "gallery_norm2", "gram"])
@pytest.mark.parametrize("matches", [3, 60])
@pytest.mark.parametrize("limit", [-1, 0])
def test_places_of_what_is_not_finite_stay_within_bounds(name, value, matches, limit):
    """They read distances of columns beyond the last, and sorted numbers that have no order."""
    entries, queries = 70, 5
    given = dict(
        gram=rows(1, queries, entries, dtype=torch.float64),
        x=rows(queries, D, dtype=torch.float64),
        gallery=rows(entries, D, dtype=torch.float64),
        x_norm2=rows(queries, dtype=torch.float64).abs(),
        gallery_norm2=rows(entries, dtype=torch.float64).abs(),
    )
    given[name].view(-1)[::3] = value
    for on_grid in (False, True):
        for scale in (1.0, 2.0):
            call(
                "match_places",
                **given,
                first_equal=torch.arange(entries, dtype=torch.int32),
                by_identity=torch.arange(entries, dtype=torch.int32),
                begin=torch.zeros(queries, dtype=torch.int64),
                end=torch.full((queries,), matches),
                x_camera=None,
                gallery_camera=None,
                on_grid=on_grid,
                scale=scale,
                limit=limit,
            )


def test_parts_and_terms_without_number_do_not_overflow():
    none = torch.zeros(0, dtype=torch.float64)
    results = call(
        "match_places",
        gram=torch.zeros(2**62, 0, 0),
        x=torch.zeros(0, 2**62),
        gallery=torch.zeros(0, 2**62),
        x_norm2=none,
        gallery_norm2=none,
        first_equal=none.int(),
        by_identity=none.int(),
        begin=none.long(),
        end=none.long(),
        x_camera=None,
        gallery_camera=None,
    )
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
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120
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
