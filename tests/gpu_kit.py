"""Makes the programs of tools/ importable, and says what machine `make gpu` has found."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
if not (ROOT / "tools/gpu").exists():
    pytest.skip("the tools are not part of this copy", allow_module_level=True)
sys.path += [str(ROOT / "tools/gpu"), str(ROOT / "tools")]

import kernel_report  # noqa: E402, F401
import runner  # noqa: E402, F401
import sanitizer  # noqa: E402, F401
import sanitizer_cases  # noqa: E402, F401
import steps  # noqa: E402, F401
import suite  # noqa: E402, F401
import verdict  # noqa: E402, F401

FACTS = {"gpu": {"name": "A GPU", "arch": "90"}, "cpus": 2, "packages": {}, "commit": "abc"}
