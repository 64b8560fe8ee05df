"""The step that runs compute-sanitizer's tools over a short list of calls."""

import os
import re
import sys
from pathlib import Path

from machine import find_tool
from runner import FAILED, PARTLY, PASSED, SKIPPED, Outcome

CASES = Path(__file__).resolve().parent / "sanitizer_cases.py"
FOUND = 86  # its exit status when it found something
OURS = ["--kernel-name", "kns=4drsl4cuda"]  # torch's kernels are not what is in question
TOOLS = {
    "memcheck": OURS,
    "racecheck": OURS,
    "initcheck": [],  # has to see who wrote what, torch's kernels too
    "synccheck": OURS,
}
COMPLAINT = re.compile(
    r"^=+ +(Invalid|Misaligned|Uninitialized|Barrier error|Divergent|Program hit|"
    r"(Error|Warning): .*(hazard|Race)).*",
    re.MULTILINE,
)
BROKEN = re.compile(r"Device not supported|Internal Sanitizer Error|Unable to|not compatible")


def judge(status, log):
    """(state, a sentence) of one tool; status is None where its time was up."""
    done = len(re.findall(r"^case .* done$", log, re.MULTILINE))
    whole = "all cases done" in log
    complaints = [match[0].strip("= ") for match in COMPLAINT.finditer(log)]
    if complaints or status == FOUND:
        return FAILED, f"{len(complaints)} complaints, first: {(complaints or ['see its log'])[0]}"
    if BROKEN.search(log) and not whole:
        return SKIPPED, f"does not work here: {BROKEN.search(log)[0]}"
    if status is None:
        return (PARTLY if done else SKIPPED), f"nothing found in {done} cases, then time was up"
    if status != 0 or not whole:
        return FAILED, f"ended with status {status} after {done} cases"
    return PASSED, f"nothing found in {done} cases"


def sanitize(work, environment):
    program = find_tool("compute-sanitizer")
    if program is None:
        return Outcome(SKIPPED, "compute-sanitizer is not installed")
    settings = {**environment, "PYTORCH_NO_CUDA_MEMORY_CACHING": "1", "PYTHONUNBUFFERED": "1"}
    settings["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // len(TOOLS)))
    statuses = {}

    def one(tool):
        command = [program, "--tool", tool, f"--error-exitcode={FOUND}", *TOOLS[tool]]
        command += ["--report-api-errors", "no", "--print-limit", "20", sys.executable, CASES]
        statuses[tool] = work.call(command, f"sanitizer-{tool}.log", settings)

    work.together(one, list(TOOLS))
    judged = {}
    for tool in TOOLS:
        log = (work.folder / f"sanitizer-{tool}.log").read_text(errors="replace")
        judged[tool] = judge(statuses.get(tool), log)
    states = [state for state, _ in judged.values()]
    worst = next((s for s in (FAILED, PARTLY, SKIPPED) if s in states), PASSED)
    if worst == SKIPPED and PASSED in states:
        worst = PARTLY
    return Outcome(worst, "; ".join(f"{tool}: {told}" for tool, (_, told) in judged.items()))
