"""What is left of a run: verdict.md, tests.json, and a copy of what matters where OUT points."""

import json
import os
import shutil
import tarfile
from pathlib import Path

from runner import all_good

KEPT_APART = ("verdict.md", "environment.json", "tests.json", "results.json", "report.md")


def table(outcomes):
    """The steps as lines of Markdown."""
    lines = ["| step | outcome | seconds | |", "|---|---|---|---|"]
    for name, outcome in outcomes.items():
        told = " ".join(outcome.told.replace("|", "/").split())
        lines.append(f"| {name} | **{outcome.state}** | {outcome.seconds:.0f} | {told} |")
    lines += ["", "All good." if all_good(outcomes) else "Not all good."]
    return "\n".join(lines)


def merge_tests(folder):
    """tests.json: what each run of pytest counted, by the name of its step."""
    merged = {}
    for file in sorted(folder.glob("*.json")):
        content = json.loads(file.read_text()) if file.name not in KEPT_APART else None
        if isinstance(content, dict) and "counts" in content:
            merged[file.stem] = content
    (folder / "tests.json").write_text(json.dumps(merged, indent=1))


def write(folder, facts, outcomes):
    gpu = facts["gpu"]
    version = facts.get("commit") or f"unknown, sources {facts.get('sources')}"
    head = f"# {gpu['name']}, commit {version}\n\n"
    (folder / "verdict.md").write_text(head + table(outcomes) + "\n")
    merge_tests(folder)
    if os.environ.get("OUT"):
        hand_out(folder, Path(os.environ["OUT"]) / folder.name)


def hand_out(folder, to):
    """Six files: the results as they are, all else in one archive, plots too."""
    to.mkdir(parents=True, exist_ok=True)
    with tarfile.open(to / "logs.tar.gz", "w:gz") as archive:
        for file in sorted(folder.iterdir()):
            if file.name in KEPT_APART:
                shutil.copyfile(file, to / file.name)
            else:
                archive.add(file, arcname=file.name)
