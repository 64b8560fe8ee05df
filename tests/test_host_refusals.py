"""What the CUDA kernels' operators do with calls that do not fit, on host threads: the tables of refusals.py
and operator_calls.txt."""

import pytest
import torch

from on_host_threads import OPERATORS, on_host_threads
from refusals import GPU_ONLY, WRONG, identify, right_call
from test_operator_calls import KEPT, PARTS, try_all

FEWER = 8  # one call in so many: the largest take seconds on host threads
HERE = [case for case in (*WRONG, *GPU_ONLY) if case[0] in OPERATORS]


def call(operator, **changed):
    return getattr(torch.ops.drsl_host, operator)(**(right_call(operator) | changed))


@pytest.mark.sanitized
@pytest.mark.parametrize("operator", OPERATORS)
def test_the_right_call_is_taken(operator):
    with on_host_threads("warp"):
        results = call(operator)
    results = results if isinstance(results, tuple) else (results,)
    assert torch.cat([r.flatten().double() for r in results]).isfinite().any()


@pytest.mark.sanitized
@pytest.mark.parametrize("case", HERE, ids=identify)
def test_what_does_not_fit_is_refused_by_name(case):
    operator, name, value, words = case
    if isinstance(value, torch.Tensor) and value.is_meta:
        words = ""  # torch finds no kernel: nothing is told it about tensors without numbers here
    with on_host_threads("forward"), pytest.raises(RuntimeError) as info:
        call(operator, **{name: value})
    assert words in str(info.value)


@pytest.mark.sanitized
@pytest.mark.parametrize("part", range(PARTS))
def test_what_the_fuzzer_found(part):
    calls = [bytes.fromhex(text) for text in KEPT[part :: PARTS * FEWER]]
    with on_host_threads("warp"):
        refused, computed = try_all(calls, "drsl_host")
    assert refused + computed > 0  # each computed twice with the same bits, or was refused
