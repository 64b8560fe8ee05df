"""Named inputs, shared by tests and benchmarks: `names()`, `build(name)`, `expected(name)`.

Registered in cases_plain.py (sizes, scales, settings) and cases_special.py (galleries, masks, sets,
labels, degenerate rows); case_kit.py says what a case is and why its numbers look as they do.
"""

import cases_plain  # noqa: F401  registers
import cases_special  # noqa: F401  registers
from case_kit import Case, build, expected, names, smallest_gap

__all__ = ["Case", "build", "expected", "names", "smallest_gap"]
