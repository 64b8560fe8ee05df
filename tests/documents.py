"""Code blocks of a Markdown document, and changes (```diff) applied to a tree of files."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent


class Block(NamedTuple):
    section: str
    kind: str  # "python", "diff", …
    code: str


def blocks(name):
    """All fenced blocks of docs/<name> (or ../README.md), with the section that each is in."""
    found, section = [], ""
    text = (ROOT / "docs" / name).read_text()
    for heading, kind, code in re.findall(
        r"^## ([^\n]+)$|^```(\w*)\n(.*?)^```$", text, re.M | re.S
    ):
        if heading:
            section = heading
        else:
            found.append(Block(section, kind, code))
    return found


def apply(diff, root):
    """Applies a change: `--- file`, then lines that stay, go (-) and come (+), in parts between @@."""
    first, *lines = diff.splitlines()
    assert first.startswith("--- "), f"a change begins with its file, got {first!r}"
    file = root / first.removeprefix("--- ")
    text = "\n" + file.read_text()
    for part in "\n".join(lines).split("\n@@\n"):
        before = "\n" + "".join(f"{line[1:]}\n" for line in part.splitlines() if line[0] in " -")
        after = "\n" + "".join(f"{line[1:]}\n" for line in part.splitlines() if line[0] in " +")
        assert text.count(before) == 1, f"{file.name} must hold once:{before}"
        text = text.replace(before, after)
    file.write_text(text[1:])
