"""The bounds that docs/numerics.md states, measured by the tool that its tables come from."""

import importlib.util
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
spec = importlib.util.spec_from_file_location("measure_errors", ROOT / "tools/measure_errors.py")
measure_errors = importlib.util.module_from_spec(spec)
spec.loader.exec_module(measure_errors)

CASES = [
    (dtype, kind, scale, name)
    for dtype, scales in measure_errors.SCALES.items()
    for kind in measure_errors.BOUNDS[dtype]
    for scale in scales
    for name in measure_errors.NAMES
]


@pytest.mark.parametrize("dtype, kind, scale, name", CASES, ids=str)
def test_errors_stay_within_what_is_said(dtype, kind, scale, name):
    found = measure_errors.errors(name, kind, dtype, scale)
    assert all(e <= b for e, b in zip(found, measure_errors.BOUNDS[dtype][kind], strict=True)), (
        found
    )


@pytest.mark.parametrize("name", measure_errors.NAMES)
@pytest.mark.parametrize("threads", [1, 2])
def test_runs_repeat_bit_by_bit_wherever_rows_lie(name, threads):
    """Of one size, on one machine, with one number of threads; memory may be aligned in any way."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for size, dim in ((40, 17), (300, 65), (1100, 33)):
            x = torch.randn(size, dim, generator=torch.Generator().manual_seed(size))
            labels = torch.arange(size) % (size // 4)
            wanted = measure_errors.run(name, x, labels, 1.0, "native")
            for offset in (0, 1, 3, 8):
                room = torch.cat([torch.zeros(offset), x.flatten()])
                again = measure_errors.run(name, room[offset:].view_as(x), labels, 1.0, "native")
                assert all(torch.equal(a, b) for a, b in zip(again, wanted, strict=True)), offset
    finally:
        torch.set_num_threads(before)
