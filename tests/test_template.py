"""csrc/core/losses/_template.h, which new losses are copied from, compiles and is right."""

import os
import shlex
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_the_template_of_a_loss_compiles_and_is_right(tmp_path):
    program = tmp_path / "template_test"
    compiler = shlex.split(os.environ.get("CXX", "g++"))
    flags = ["-std=c++20", "-O1", "-fopenmp-simd", "-Wall", "-Wextra", "-Wno-psabi", "-Werror"]
    source = ROOT / "tests/host/template_test.cpp"
    command = [*compiler, *flags, f"-I{ROOT}/csrc", str(source), "-o", str(program)]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    done = subprocess.run([program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
