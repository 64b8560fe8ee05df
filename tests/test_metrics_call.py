"""drsl_cuda.metrics.evaluate as a call: bad arguments, progress, interruption, the operators themselves."""

import pytest
import torch

from cases_metrics import problem
from drsl_cuda import _retrieval
from drsl_cuda.metrics import evaluate
from test_errors import assert_says

Q, G, D = 6, 9, 4
BACKENDS = pytest.mark.parametrize("backend", ["native", "reference"])


def good():
    return problem(Q, G, D)


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


@BACKENDS
def test_progress_is_told_after_each_block(backend, monkeypatch):
    monkeypatch.setattr(_retrieval, "BLOCK", 2)
    told = []
    evaluate(**good(), backend=backend, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (Q, Q) and told == sorted(told)
    assert backend == "reference" or len(told) == 3


def test_a_line_on_stderr(capsys):
    evaluate(**good(), progress=True)
    out = capsys.readouterr()
    assert out.out == "" and out.err.endswith("\n") and f"{Q} of {Q} queries" in out.err
    evaluate(**good())
    assert capsys.readouterr().err == ""


@BACKENDS
def test_an_interruption_is_heard_between_blocks(backend, monkeypatch):
    monkeypatch.setattr(_retrieval, "BLOCK", 2)
    done = []

    def interrupt(some, total):
        done.append(some)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(**good(), backend=backend, progress=interrupt)
    assert len(done) == 1
    assert evaluate(**good()).valid.shape == (Q,)  # nothing is left behind


def operator_arguments(queries=5, entries=70, dim=8):
    g = torch.Generator().manual_seed(0)
    x, r = torch.randn(queries, dim, generator=g), torch.randn(entries, dim, generator=g)
    lengths = torch.ops.drsl.squared_lengths
    index = torch.arange(entries, dtype=torch.int32)
    begin = torch.arange(queries) * 10
    cameras = torch.arange(queries) % 2, torch.arange(entries) % 2
    return [(x @ r.T)[None], x, r, lengths(x), lengths(r), index, index, begin, begin + 10,
            *cameras, 1.0, False, -1]  # fmt: skip


def test_opcheck():
    torch.library.opcheck(torch.ops.drsl.match_places.default, tuple(operator_arguments()))
    torch.library.opcheck(torch.ops.drsl.squared_lengths.default, (torch.randn(5, 3),))


def test_operators_called_directly_do_not_read_out_of_bounds():
    replaced = {
        0: torch.randn(5, 70), 1: torch.randn(4, 8), 2: torch.randn(70, 7), 3: torch.randn(5),
        4: torch.rand(69).double(), 5: torch.full((70,), 70, dtype=torch.int32),
        6: torch.full((70,), -1, dtype=torch.int32), 7: torch.full((5,), -1),
        8: torch.full((5,), 71), 9: None, 10: torch.arange(69),
    }  # fmt: skip
    for at, value in replaced.items():
        arguments = operator_arguments()
        arguments[at] = value
        with pytest.raises(RuntimeError, match="drsl:"):
            torch.ops.drsl.match_places(*arguments)
    with pytest.raises(RuntimeError, match="drsl:"):
        torch.ops.drsl.squared_lengths(torch.ones(3))
    with pytest.raises(RuntimeError, match="drsl:"):
        torch.ops.drsl.squared_lengths(torch.ones(3, 3).half())
