"""What the package takes from torch without a promise is there, and written in one place."""

import ast
import re
from pathlib import Path

import pytest
import torch

import drsl_cuda

PACKAGE = Path(drsl_cuda.__file__).parent
PLACE = PACKAGE / "_torch_private.py"


def private(source):
    """The names of torch in a program that begin with an underscore: "torch._C._name"."""
    tree = ast.parse(source)
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and id(node) not in inner:
            name = ast.unparse(node)
            if re.fullmatch(r"torch(\.\w+)*\._[a-zA-Z]\w*(\.\w+)*", name):
                yield name
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "torch":
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name for name in names if "._" in name)


NAMES = sorted(set(private(PLACE.read_text())))


@pytest.mark.parametrize("name", NAMES)
def test_this_torch_has(name):
    found = torch
    for part in name.split(".")[1:]:
        found = getattr(found, part, None)
    assert callable(found), f"torch {torch.__version__} has no {name}: see {PLACE.name}"


def test_they_are_written_in_one_place():
    assert len(NAMES) == 3
    others = [path for path in PACKAGE.rglob("*.py") if path != PLACE]
    assert len(others) > 30
    found = {path.name: list(private(path.read_text())) for path in others}
    assert not {name: names for name, names in found.items() if names}


@pytest.mark.parametrize(
    "source",
    ["torch._C._x()", "f(torch._C._x)", "from torch._C import x", "from torch import _C",
     "with torch.library._x: pass"],
)  # fmt: skip
def test_a_private_name_is_seen(source):
    assert list(private(source))


def test_public_names_are_let_pass():
    assert not list(private("torch.zeros(1)._x; torch.__version__; from torch import nn; x._y"))
