"""drsl_cuda.metrics.evaluate as a call: bad arguments, progress, interruption, the operators themselves."""

import warnings

import pytest
import torch

from cases_metrics import problem
from drsl_cuda._retrieval import tiles
from drsl_cuda.metrics import evaluate
from test_errors import assert_says

Q, G, D = 6, 9, 4
BACKENDS = pytest.mark.parametrize("backend", ["native", "reference"])


def good():
    return problem(Q, G, D)


def all_match():
    """Six queries that have to be multiplied."""
    return good() | {"query_ids": torch.ones(Q, dtype=torch.int64), "query_cams": None,
                     "gallery_ids": torch.arange(G) % 2, "gallery_cams": None}  # fmt: skip


def spoilt(rows, row, value):
    x = torch.randn(rows, D)
    x[row, 1] = value
    return x


INF, NAN = float("inf"), float("nan")
INTEGERS = torch.zeros(Q, dtype=torch.int64)
BAD = {
    "query_list": ({"query": [[1.0]]}, TypeError, ["query", "tensor", "list"]),
    "query_integers": ({"query": torch.ones(Q, D).long()}, TypeError, ["query", "float32", "int64"]),
    "query_3d": ({"query": torch.ones(1, Q, D)}, ValueError, ["query", "[Q, D]", "[1, 6, 4]"]),
    "query_empty": (
        {"query": torch.ones(Q, 0), "gallery": torch.ones(G, 0)}, ValueError, ["query", "[6, 0]"],
    ),
    "gallery_array": ({"gallery": torch.ones(G, D).numpy()}, TypeError, ["gallery", "ndarray"]),
    "gallery_1d": ({"gallery": torch.ones(D)}, ValueError, ["gallery", "[G, D]", "[4]"]),
    "gallery_narrow": ({"gallery": torch.ones(G, 3)}, ValueError, ["gallery", "[G, 4]", "[9, 3]"]),
    "gallery_meta": ({"gallery": torch.ones(G, D, device="meta")}, ValueError, ["gallery", "meta"]),
    "query_ids": ({"query_ids": torch.zeros(Q)}, TypeError, ["query_ids", "integers", "float32"]),
    "query_ids_short": ({"query_ids": INTEGERS[:3]}, ValueError, ["query_ids", "[6]", "[3]"]),
    "query_ids_none": ({"query_ids": None}, TypeError, ["query_ids", "NoneType"]),
    "gallery_ids": ({"gallery_ids": INTEGERS}, ValueError, ["gallery_ids", "[9]", "[6]"]),
    "query_cams": ({"query_cams": INTEGERS > 0}, TypeError, ["query_cams", "integers", "bool"]),
    "gallery_cams": ({"gallery_cams": INTEGERS}, ValueError, ["gallery_cams", "[9]", "[6]"]),
    "one_camera": ({"query_cams": None}, ValueError, ["query_cams", "gallery_cams", "None"]),
    "other_camera": ({"gallery_cams": None}, ValueError, ["gallery_cams", "query_cams", "None"]),
    "query_nan": ({"query": spoilt(Q, 4, NAN)}, ValueError, ["query", "finite", "nan", "row 4"]),
    "gallery_inf": ({"gallery": spoilt(G, 7, -INF)}, ValueError, ["gallery", "-inf", "row 7"]),
    "gallery_half": (
        {"gallery": spoilt(G, 2, INF).half()}, ValueError, ["gallery", "finite", "inf", "row 2"],
    ),
    "gallery_double": ({"gallery": spoilt(G, 2, NAN).double()}, ValueError, ["gallery", "row 2"]),
    "junk_ids": ({"junk_ids": -1}, TypeError, ["junk_ids", "sequence", "int"]),
    "junk_ids_float": ({"junk_ids": [1.5]}, TypeError, ["junk_ids", "integers", "float"]),
    "distractor_ids": ({"distractor_ids": [2**70]}, ValueError, ["distractor_ids", "64 bits"]),
    "max_rank_zero": ({"max_rank": 0}, ValueError, ["max_rank", ">= 1", "0"]),
    "max_rank_float": ({"max_rank": 10.0}, TypeError, ["max_rank", "integer", "float"]),
    "progress": ({"progress": 1}, TypeError, ["progress", "True or False", "int"]),
    "backend": ({"backend": "fast"}, ValueError, ["backend", "'native'", "fast"]),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
@BACKENDS
def test_a_bad_argument_is_named(name, backend):
    replaced, exception, words = BAD[name]
    with pytest.raises(exception) as info:
        evaluate(**(good() | {"backend": backend} | replaced))
    assert_says(info, exception, words)


def test_large_float64_features_are_finite():
    p = good()
    huge = p | {k: p[k].double() * 1e300 for k in ("query", "gallery")}
    assert torch.equal(evaluate(**huge).first_match, evaluate(**p).first_match)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(tiles, "BLOCK", 2)
    monkeypatch.setattr(tiles, "TILES", 0)  # enough for all threads


@BACKENDS
def test_progress_is_told_after_each_block(backend, small_blocks):
    told = []
    progress = lambda done, total: told.append((done, total))  # noqa: E731
    evaluate(**all_match(), backend=backend, progress=progress)
    assert told[-1] == (Q, Q) and told == sorted(told)
    assert backend == "reference" or [done for done, _ in told] == [2, 4, 6]


def test_a_line_on_stderr(capsys):
    evaluate(**good(), progress=True)
    out = capsys.readouterr()
    assert out.out == "" and out.err.endswith("\n") and f"{Q} of {Q} queries" in out.err
    evaluate(**good())
    assert capsys.readouterr().err == ""


@BACKENDS
def test_an_interruption_is_heard_between_blocks(backend, small_blocks):
    done = []

    def interrupt(some, total):
        done.append(some)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(**all_match(), backend=backend, progress=interrupt)
    assert len(done) == 1 and (done[0] == 2 or backend == "reference")
    assert evaluate(**good()).valid.shape == (Q,)  # nothing is left behind


def operator_arguments(queries=5, entries=70, dim=8, width=30):
    """Of match_tiles, and of match_rows."""
    g = torch.Generator().manual_seed(0)
    x, r = torch.randn(queries, dim, generator=g), torch.randn(entries, dim, generator=g)
    lengths = torch.ops.drsl.squared_lengths
    index, begin = torch.arange(entries, dtype=torch.int32), torch.arange(queries) * 10
    cameras = torch.arange(queries) % 2, torch.arange(entries) % 2
    own = index, begin, begin + 10, *cameras
    tiles = [x, r, x, r, lengths(x), lengths(r), index % width, *own, 1.0, False, 3, 4, width, -1]
    return tiles, [(x @ r.T).double(), x, r, lengths(x), lengths(r), index, *own, False]


def test_opcheck():
    for_tiles, for_rows = operator_arguments()
    torch.library.opcheck(torch.ops.drsl.match_tiles.default, tuple(for_tiles))
    torch.library.opcheck(torch.ops.drsl.match_rows.default, tuple(for_rows))
    torch.library.opcheck(torch.ops.drsl.squared_lengths.default, (torch.randn(5, 3),))


def test_both_ways_agree():
    for_tiles, for_rows = operator_arguments()
    for a, b in zip(torch.ops.drsl.match_tiles(*for_tiles), torch.ops.drsl.match_rows(*for_rows),
                    strict=True):  # fmt: skip
        assert torch.equal(a, b)


FEATURES = {"x": torch.randn(4, 8), "gallery": torch.randn(70, 7)}
LISTS = {
    "x_norm2": torch.randn(5), "gallery_norm2": torch.rand(69).double(),
    "first_equal": torch.full((70,), 70, dtype=torch.int32),
    "by_identity": torch.full((70,), -1, dtype=torch.int32), "begin": torch.full((5,), -1),
    "end": torch.full((5,), 71), "x_camera": None, "gallery_camera": torch.arange(69),
}  # fmt: skip
SPOILT = {
    "match_tiles": FEATURES | LISTS | {
        "x_operand": torch.randn(5, 7), "gallery_operand": torch.randn(70, 8).double(),
        "parts": 9, "height": 0, "width": 0,
    },
    "match_rows": FEATURES | LISTS | {"gram": torch.randn(5, 70)},
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILT)
def test_operators_called_directly_do_not_read_out_of_bounds(name):
    operator = getattr(torch.ops.drsl, name)
    names = [argument.name for argument in operator.default._schema.arguments]
    good = dict(zip(names, operator_arguments()[name == "match_rows"], strict=True))
    operator(*good.values())
    for at, value in SPOILT[name].items():
        with pytest.raises(RuntimeError, match="drsl:"):
            operator(*(good | {at: value}).values())
    later = (
        torch.arange(70, dtype=torch.int32) % 30 + 1
    )  # behind the entry: not in a short last tile
    if name == "match_tiles":
        with pytest.raises(RuntimeError, match="first_equal"):
            operator(*(good | {"first_equal": later}).values())


def test_squared_lengths_called_directly():
    for bad in (torch.ones(3), torch.ones(3, 3).half()):
        with pytest.raises(RuntimeError, match="drsl:"):
            torch.ops.drsl.squared_lengths(bad)


def test_identities_that_count_from_0_are_warned_of():
    rows, ids = torch.eye(6), torch.arange(6) // 2
    with pytest.warns(UserWarning, match=r"2 of 6 queries .* pass distractor_ids=\(\)") as told:
        result = evaluate(rows, ids, None, rows, ids, None)
    assert int(result.valid.sum()) == 4
    assert told[0].filename == __file__, "the caller's line"
    for options in ({"distractor_ids": ()}, {"distractor_ids": (7,)}):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = evaluate(rows, ids, None, rows, ids, None, **options)
        assert result.valid.all()
