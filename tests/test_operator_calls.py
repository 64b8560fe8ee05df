"""Calls of the operators below the Python checks, right and wrong ones: operator_promises.py says what
every call has to keep. The inputs in operator_calls.txt are the fewest of those a coverage-guided fuzzer
(tools/fuzz_operators.py) came up with that go all ways that any of them went.
"""

import random
from pathlib import Path

import pytest
import torch

import drsl_cuda  # noqa: F401  registers the operators
from on_host_threads import OPERATORS
from operator_calls import decode
from operator_promises import check

KEPT = (Path(__file__).parent / "operator_calls.txt").read_text().split()
PARTS = 8
RANDOM = 150  # a part


@pytest.fixture(autouse=True)
def number_of_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def try_all(inputs, namespace="drsl"):
    """How many of the calls were refused, and how many were not."""
    refused = computed = 0
    for data in inputs:
        name, arguments, threads = decode(data)
        if namespace != "drsl" and name not in OPERATORS:
            continue
        torch.set_num_threads(threads)
        try:
            result = check(name, arguments, namespace)
        except BaseException as error:
            raise AssertionError(f"tools/fuzz_operators.py --try {data.hex()}") from error
        refused += isinstance(result, RuntimeError)
        computed += not isinstance(result, RuntimeError)
    return refused, computed


def made_up(part):
    """Bytes; zeros are the usual choice."""
    random_ = random.Random(part)
    return [
        bytes(random_.randrange(256) if random_.random() < 0.5 else 0 for _ in range(64))
        for _ in range(RANDOM)
    ]


@pytest.mark.sanitized
@pytest.mark.parametrize("part", range(PARTS))
def test_what_the_fuzzer_found(part):
    refused, computed = try_all(bytes.fromhex(text) for text in KEPT[part::PARTS])
    assert refused and computed


@pytest.mark.sanitized
@pytest.mark.parametrize("part", range(PARTS))
def test_made_up_calls(part):
    refused, computed = try_all(made_up(part))
    assert refused and computed
