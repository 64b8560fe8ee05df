"""What is installed has hashes; nothing asks the network; no file is unpickled."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LOCKS = sorted([*ROOT.glob("requirements/*.lock"), *ROOT.glob("examples/*/*.lock")])
INPUTS = sorted([*ROOT.glob("requirements/*.txt"), *ROOT.glob("examples/*/requirements.txt")])
needs_sources = pytest.mark.skipif(not INPUTS, reason="not in a source tree")


def locked(path):
    """[(name, version, marker, hashes)] of a lock."""
    joined = path.read_text().replace("\\\n", " ")
    found = []
    for line in filter(None, map(str.strip, joined.splitlines())):
        if not line.startswith("#"):
            requirement, *hashes = line.split(" --hash=")
            pin, _, marker = requirement.partition(";")
            name, _, version = pin.strip().partition("==")
            found.append((name, version, marker.strip(), [one.strip() for one in hashes]))
    return found


def asked(path):
    """[(name, version or "")] of what a person wrote: names with or without a pin, a marker, a comment."""
    found = []
    for line in path.read_text().splitlines():
        line = line.partition("#")[0].partition(";")[0].strip()
        if line and not line.startswith("-"):
            name = re.match(r"[\w.-]+", line)[0]
            pin = re.search(r"==\s*([\w.+]+)", line)
            found.append((re.sub(r"[-_.]+", "-", name).lower(), pin[1] if pin else ""))
    return found


@needs_sources
@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_a_lock_pins_every_file_by_its_hash(path):
    found = locked(path)
    assert found
    for name, version, _, hashes in found:
        assert re.fullmatch(r"[a-z0-9.-]+", name), name
        assert re.fullmatch(r"[\w.+]+", version), f"{name} is not pinned"
        assert hashes, f"{name} has no hash"
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in hashes), name


@needs_sources
@pytest.mark.parametrize("path", [*INPUTS, *LOCKS], ids=lambda path: path.name)
def test_requirements_name_no_place_to_download_from(path):
    for line in path.read_text().splitlines():
        assert not re.search(r"https?:|git\+|file:", line), line
        assert not re.match(
            r"\s*(-i|-f|--(extra-)?index-url|--find-links|--trusted-host)\b", line
        ), line


@needs_sources
@pytest.mark.parametrize("path", INPUTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_asked_for_is_what_is_locked(path):
    lock = path.with_suffix(".lock")
    assert lock.exists(), f"make lock has not been run for {path.relative_to(ROOT)}"
    locks = {lock, ROOT / "requirements/dev.lock"}
    have = {(name, version) for one in locks for name, version, *_ in locked(one)}
    for name, version in asked(path):
        assert name in {known for known, _ in have}, f"{name} is not locked: make lock"
        if version:
            assert (name, version) in have, f"{name}=={version} is not what is locked: make lock"


# --- files -----------------------------------------------------------------------------------------

LOADERS = {"cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def unpickled(source):
    """What in a program reads a file that could run code of its own."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            whole = isinstance(node, ast.Import)
            names = [a.name for a in node.names] if whole else [node.module or ""]
            bad = LOADERS if whole else LOADERS | {"pickle"}  # its errors may be named
            yield from (f"imports {name}" for name in names if name.partition(".")[0] in bad)
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        called, given = ast.unparse(node.func), {k.arg: k.value for k in node.keywords}
        weights = given.get("weights_only")
        only = isinstance(weights, ast.Constant) and weights.value is True
        if called == "torch.load" and not only:
            yield f"line {node.lineno}: torch.load without weights_only=True"
        allowed = given.get("allow_pickle", ast.Constant(False))
        if not (isinstance(allowed, ast.Constant) and allowed.value is False):
            yield f"line {node.lineno}: allow_pickle"
        if called.startswith(("pickle.", "torch.hub.", "torch.package.")):
            yield f"line {node.lineno}: {called}"


def sent(source):
    """Pickles that processes send each other."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and re.fullmatch(r"\w+_object(_list)?", node.attr):
            yield f"line {node.lineno}: {node.attr}"


def programs():
    folders = "drsl_cuda", "bench", "examples", "tools"
    return [path for folder in folders for path in ROOT.glob(f"{folder}/**/*.py")]


@needs_sources
def test_no_program_unpickles_a_file():
    assert len(programs()) > 30
    faults = {str(path.relative_to(ROOT)): list(unpickled(path.read_text())) for path in programs()}
    assert not {path: some for path, some in faults.items() if some}


@needs_sources
def test_the_package_sends_no_pickles():
    package = ROOT.glob("drsl_cuda/**/*.py")
    assert not [fault for path in package for fault in sent(path.read_text())]
    assert list(sent("dist.all_gather_object(a, b)"))


@pytest.mark.parametrize(
    "source",
    ["from pickle import load", "pickle.loads(b)", "from joblib import load", "torch.load(f)",
     "torch.load(f, weights_only=False)", "np.load(f, allow_pickle=True)", "np.load(f, allow_pickle=x)",
     "torch.hub.load(a)"],
)  # fmt: skip
def test_what_unpickles_is_found(source):
    assert list(unpickled(source))


def test_what_does_not_unpickle_is_let_pass():
    assert not list(
        unpickled("torch.load(f, weights_only=True); np.load(f); np.load(f, allow_pickle=False)")
    )


# --- network ---------------------------------------------------------------------------------------

# socket.* covers look-ups and connections of whatever is written in Python; what is imported lazily is
# imported here. drsl_cuda.distributed is for processes that talk: it is imported, no more.
WITHOUT_NETWORK = """
import sys
asked = []
def forbid(event, arguments):
    if event.startswith("socket."):
        asked.append(event)
        raise PermissionError(f"no network here: {event}")
sys.addaudithook(forbid)
if sys.argv[1:] == ["try"]:
    import socket
    socket.getaddrinfo("localhost", 80)

import importlib, pkgutil
import torch
import drsl_cuda
from drsl_cuda.__main__ import main
for module in pkgutil.walk_packages(drsl_cuda.__path__, "drsl_cuda."):
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:  # an optional dependency that is not installed
        assert not error.name.startswith("drsl_cuda"), error
assert main(["--no-timing"]) == 0
scores = torch.randn(50, requires_grad=True)
targets = (torch.arange(50) < 7).float()
sum(drsl_cuda.RankSortLoss()(scores, targets)).backward()
drsl_cuda.APLoss()(scores, targets).backward()
drsl_cuda.ALRPLoss()(scores, targets, torch.rand(7))
x, ids = torch.randn(20, 8), torch.arange(20) % 5
cameras = torch.arange(20) % 2
drsl_cuda.metrics.evaluate(x, ids, cameras, x + 0.1, ids, 1 - cameras)
drsl_cuda.MemoryBank(64, 8)
print("asked", asked)
"""


def without_network(*arguments):
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_NETWORK, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


def test_nothing_asks_the_network():
    done = without_network()
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "asked []"


def test_asking_the_network_would_be_noticed():
    done = without_network("try")
    assert done.returncode != 0
    assert "no network here: socket.getaddrinfo" in done.stderr
