"""What the documents show runs, and what they point at is there. docs/trainers.md: test_trainers.py."""

import re
import subprocess
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from documents import ROOT, blocks

PAGES = [
    page.relative_to(ROOT).as_posix()
    for folder in (".", "docs", "bench", "csrc", "examples/reid", "tests/trainers")
    for page in sorted((ROOT / folder).glob("*.md"))
]


def names():
    """What the text around the code takes for granted."""
    torch.manual_seed(0)
    labels = torch.arange(12) // 3
    rows, ids, cams = torch.randn(12, 8), labels + 1, torch.arange(12) % 2
    model = torch.nn.Linear(8, 6)
    return {
        "embeddings": rows.clone().requires_grad_(), "labels": labels,
        "gallery": torch.randn(9, 8), "gallery_labels": torch.arange(9) % 4,
        "own": torch.full((12,), -1), "junk": torch.zeros(12, 9, dtype=torch.bool),
        "model": model, "ddp_model": model, "images": rows,
        "query": rows, "query_ids": ids, "query_cams": cams,
        "gallery_ids": torch.arange(9) % 4 + 1, "gallery_cams": torch.arange(9) % 3,
    }  # fmt: skip


@pytest.fixture
def one_rank():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("page, count", [("../README.md", 3), ("metrics.md", 1), ("scaling.md", 1)])
def test_the_code_runs_as_it_stands(page, count, one_rank):
    found = [block.code for block in blocks(page) if block.kind == "python"]
    assert len(found) == count
    for code in found:  # each on its own: a reader copies one
        exec(code, names())


def links(page):
    """Files that a page links to, as paths of this tree; code and other sites left out."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", (ROOT / page).read_text(), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("http", "#", "mailto")):
            yield (ROOT / page).parent / target.partition("#")[0]


def test_links_lead_somewhere():
    found = [(page, link) for page in PAGES for link in links(page)]
    assert len(found) > 30
    assert [(page, str(link)) for page, link in found if not link.exists()] == []


def test_tests_that_are_named_exist():
    tests = {path.name: path.read_text() for path in (ROOT / "tests").glob("*.py")}
    everything = "\n".join(tests.values())
    missing = []
    for page in PAGES:
        text = (ROOT / page).read_text()
        missing += [f for f in re.findall(r"\b(test_\w+\.py)", text) if f not in tests]
        for name in re.findall(r"(?:`|::)(test_\w+)(?=`)", text):
            if f"def {name}(" not in everything:
                missing.append(name)
    assert missing == []


def test_targets_that_are_named_exist():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    for page in PAGES:
        code = re.findall(
            r"`make ([a-z][\w-]*)|^    make ([a-z][\w-]*)", (ROOT / page).read_text(), re.M
        )
        assert {a or b for a, b in code} <= targets, page


def test_what_is_linked_to_is_committed():
    # A wheel or sdist has no git; a checkout shows whether a page links to a file that is not committed.
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if tracked.returncode:
        pytest.skip("not a checkout")
    tracked = {(ROOT / name).resolve() for name in tracked.stdout.splitlines()}
    folders = {parent for path in tracked for parent in path.parents}
    for page in PAGES:
        for link in map(Path.resolve, links(page)):
            assert link in tracked or link in folders, f"{page} links to {link}"
