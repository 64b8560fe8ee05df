"""Makes the benchmark importable, and made-up results of a run."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
if not (ROOT / "bench/__main__.py").exists():
    pytest.skip("the benchmark is not part of this copy", allow_module_level=True)
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from bench import results  # noqa: E402

MACHINE = {
    "device": "A CPU", "kind": "cpu", "cpu": "A CPU", "cores": 2, "threads": 2, "memory_bytes": 2**34,
    "python": "3.11.7", "packages": {"torch": "2.13.0"}, "commit": "0123456789abcdef", "dirty": False,
}  # fmt: skip
SETTINGS = {"command": "", "seed": 7, "seconds": 1.0, "patience": 60.0, "memory": 8.0}


def spread(median, around=0.02):
    return {
        "median": median, "q1": median * (1 - around), "q3": median * (1 + around), "calls": 20,
    }  # fmt: skip


def measured(case, loss, contender, ms, ratio=None, **more):
    row = {
        "case": case, "loss": loss, "contender": contender, "state": "measured", "told": "",
        "ms": {part: spread(ms * share) for part, share in
               (("forward", 0.6), ("backward", 0.4), ("both", 1.0))},
    }  # fmt: skip
    if ratio is not None:
        row |= {"of_floor": spread(ratio), "floor_ms": ms / ratio}
    return row | more


def ended(case, loss, contender, state, told="for a reason"):
    return {"case": case, "loss": loss, "contender": contender, "state": state, "told": told}


def a_run(*rows):
    found = results.new(dict(MACHINE), dict(SETTINGS))
    found["load"] = [{"at": "2026-11-27 08:10:00", "average": 0.1}]
    found["rates"] = {"copy": 2e10, "products": {"float32 highest": 2e11}, "measured": []}
    for row in rows:
        results.put(found, row)
    return found


def some_run():
    """Sizes that a plot needs, a peer that is ahead once and one that ran out of memory."""
    rows = []
    for size in (64, 256, 1024, 4096):
        case, ms = f"{size}x4x512", size**2 / 1e5
        rows.append(measured(case, "", "floor", ms, told="X @ X.T, S @ X"))
        rows.append(measured(case, "drsl", "ours", 1.2 * ms, 1.2, bytes=size**2 * 2))
        rows.append(
            measured(
                case, "drsl", "reference", 9 * ms, 9.0, bytes=size**2 * 99, of_ours=spread(7.5)
            )
        )
        of_ours = spread(0.9 if size == 64 else 3.0)
        rows.append(
            measured(case, "drsl", "pml-fastap", 4 * ms, 4.0, bytes=size**2 * 60, of_ours=of_ours)
        )
    rows[-1] = ended("4096x4x512", "drsl", "pml-fastap", "out of memory")
    return a_run(*rows)
