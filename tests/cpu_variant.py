"""The CPU library of another build in place of the package's own: DRSL_CPU_VARIANT names it.

tools/build_cpu.py builds it: with a sanitizer, or for the fuzzer. It has to be loaded before drsl_cuda
is imported for the first time, by conftest.py or by whoever runs without pytest.
"""

import importlib.machinery
import importlib.util
import os
import sys
from pathlib import Path

VARIANT = os.environ.get("DRSL_CPU_VARIANT")  # or address, thread, fuzzer


def builder():
    path = Path(__file__).resolve().parents[1] / "tools/build_cpu.py"
    spec = importlib.util.spec_from_file_location("build_cpu", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load(path=None):
    """The library at that path, else VARIANT, which is built if need be."""
    import torch  # noqa: F401  its libraries are looked for by name

    path = path or builder().build(VARIANT)
    loader = importlib.machinery.ExtensionFileLoader("drsl_cuda._C", str(path))
    spec = importlib.util.spec_from_file_location("drsl_cuda._C", path, loader=loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    sys.modules["drsl_cuda._C"] = module
