"""What a type checker is told: of everything public, the same as what runs, and right about calls."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import drsl_cuda
from drsl_cuda import _plan, _types, functional, losses
from drsl_cuda.distributed import loss as distributed

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(drsl_cuda.__file__).parent
CALLS = ROOT / "tests/typed_calls.py"
MODULES = (
    "drsl_cuda", "drsl_cuda.functional", "drsl_cuda.losses", "drsl_cuda.score_losses",
    "drsl_cuda.metrics", "drsl_cuda.memory_bank", "drsl_cuda.reference", "drsl_cuda.distributed",
    "drsl_cuda.integrations.mmdet", "drsl_cuda.integrations.pml", "drsl_cuda.integrations.reid",
)  # fmt: skip


# --- everything has types --------------------------------------------------------------------------


def public(module):
    """(name, function) of what a module offers, methods of its classes and of their bases included."""
    for name in module.__all__:
        found = getattr(module, name)
        if inspect.isfunction(found):
            yield name, found
        elif inspect.isclass(found):
            yield from ((f"{name}.{part}", method) for part, method in methods(found))


def methods(kind):
    for owner in kind.__mro__:
        if not owner.__module__.startswith("drsl_cuda"):
            continue
        for name, value in vars(owner).items():
            if isinstance(value, property):
                value = value.fget
            value = getattr(value, "__func__", value)
            special = name in ("__init__", "__call__", "__str__", "__getitem__", "__len__")
            if inspect.isfunction(value) and (special or not name.startswith("_")):
                yield name, value


def untyped(function):
    """The parameters without a type, and "return"; those that name what is not there raise."""
    typing.get_type_hints(function)
    signature = inspect.signature(function)
    for parameter in signature.parameters.values():
        if parameter.annotation is parameter.empty and parameter.name not in ("self", "cls"):
            yield parameter.name
    if signature.return_annotation is signature.empty:
        yield "return"


@pytest.mark.parametrize("name", MODULES)
def test_everything_public_has_types(name):
    if name.endswith("pml"):
        pytest.importorskip("pytorch_metric_learning")
    found = list(public(importlib.import_module(name)))
    assert len(found) >= 2
    lacking = {what: list(untyped(function)) for what, function in found}
    assert not {what: names for what, names in lacking.items() if names}


def test_no_public_module_is_left_out():
    """A module is public if it lists what it offers, unless its name says that it is not."""
    offering = {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        for path in PACKAGE.rglob("*.py")
        if re.search(r"^__all__ = ", path.read_text(), re.M)
    }
    assert {name for name in offering if "._" not in name} == set(MODULES)


def test_what_has_no_type_is_found():
    def plain(a, b: int = 0, *, c: int): ...

    def wrong() -> "NotThere": ...  # noqa: F821

    assert list(untyped(plain)) == ["a", "return"]
    with pytest.raises(NameError):
        list(untyped(wrong))
    assert {"forward", "__init__", "extra_repr"} <= dict(methods(losses.DRSLLoss)).keys()


# --- what is written twice is the same ---------------------------------------------------------------

DIFFER = {"self", "return_terms", "loss", "index"}  # what overloads are there for


def parameters(function):
    """{name: (kind, type, default)}; the type and default of what overloads differ in left out."""
    given = function.args
    kinds = [("any", one) for one in given.args] + [("named", one) for one in given.kwonlyargs]
    defaults = [None] * (len(given.args) - len(given.defaults)) + given.defaults + given.kw_defaults
    return {
        one.arg: (kind, *(part and ast.unparse(part) for part in (one.annotation, default)))
        if one.arg not in DIFFER
        else kind
        for (kind, one), default in zip(kinds, defaults, strict=True)
    }


def pairs(tree):
    """(what a type checker reads, what runs): an overload, or a __call__ that only a checker sees."""
    for owner in ast.walk(tree):
        body = getattr(owner, "body", None)
        if not isinstance(owner, ast.Module | ast.ClassDef):
            continue
        told = [part for one in body if isinstance(one, ast.If) for part in one.body]
        told += [one for one in body if isinstance(one, ast.FunctionDef) and one.decorator_list]
        runs = {one.name: one for one in body if isinstance(one, ast.FunctionDef)}  # the last one
        for one in told:
            if not isinstance(one, ast.FunctionDef) or one.args.vararg:
                continue
            overload = "overload" in map(ast.unparse, one.decorator_list)
            if one.name == "__call__":
                yield one, runs.get("forward")
            elif overload:
                yield one, runs[one.name]


def test_what_a_checker_reads_is_what_runs():
    count = 0
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        forwards = [one for one in ast.walk(tree) if getattr(one, "name", "") == "forward"]
        for told, runs in pairs(tree):
            runs = runs or forwards[0]  # that of the base, further up
            assert parameters(told) == parameters(runs), f"{path.name}:{told.lineno}"
            count += 1
    # Overloads: 3 of each of 5 functions and 2 calls, 2 of _Result. Calls: 1 of each of 7 classes.
    assert count == 30


@pytest.mark.parametrize(
    "told", ["a: int", "a: str = ''", "a: int = 1", "b: int = 0", "*, a: int = 0"]
)
def test_a_difference_is_found(told):
    read, runs = (ast.parse(f"def f({text}): ...").body[0] for text in (told, "a: int = 0"))
    assert parameters(read) != parameters(runs) == parameters(runs)


def test_choices_are_those_that_are_checked():
    assert typing.get_args(_types.Backend) == functional.BACKENDS
    assert set(typing.get_args(_types.Reduction)) == set(functional.REDUCTIONS)
    assert typing.get_args(distributed.Mode) == distributed.MODES


def test_build_info_has_what_its_type_says():
    types = typing.get_type_hints(_plan.BuildInfo)
    info = drsl_cuda.build_info()
    assert info.keys() == types.keys()
    for name, value in info.items():
        assert isinstance(value, typing.get_origin(types[name]) or types[name]), name


# --- and a type checker agrees -----------------------------------------------------------------------

WRONG = """
import torch
from typing_extensions import assert_type
from drsl_cuda import DRSLLoss, SmoothAPLoss, functional
x, labels = torch.zeros(2, 2), torch.zeros(2, dtype=torch.int64)
assert_type(DRSLLoss()(x, labels), torch.Tensor)
assert_type(DRSLLoss()(x, labels), int)  # assert-type
DRSLLoss(reduction="average")  # arg-type
DRSLLoss(delta="0.5")  # arg-type
functional.drsl_loss(x, labels, backend="gpu")  # call-overload
SmoothAPLoss()(x, labels, return_terms=True)  # arg-type
DRSLLoss()(x, labels)  # type: ignore[arg-type]  # unused-ignore
"""


@pytest.mark.slow
def test_a_type_checker_agrees_and_finds_mistakes(tmp_path):
    pytest.importorskip("mypy")
    if not (ROOT / "pyproject.toml").exists():
        pytest.skip("not in a source tree")
    wrong = tmp_path / "wrong.py"
    wrong.write_text(WRONG)
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--cache-dir",
        tmp_path / "cache",
        "--show-absolute-path",
    ]
    done = subprocess.run(
        [*command, "drsl_cuda", CALLS, wrong], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    found = re.findall(r"^(\S+?):(\d+): error: .*\[([\w-]+)\]$", done.stdout, re.M)
    lines = WRONG.splitlines()
    wanted = [
        (str(wrong), str(number), line.rpartition("  # ")[2])
        for number, line in enumerate(lines, start=1)
        if "  # " in line
    ]
    assert found == wanted, done.stdout + done.stderr
    assert done.returncode == 1
