"""How much of the CUDA kernels the tests ran on host threads: lines of csrc/cuda, by gcov.

Usage: python tools/host_coverage.py [--reset] [--missing] [--least PERCENT]

Reads what a run with DRSL_HOST_VARIANT=coverage has left in build/host-coverage. --reset forgets it,
--missing lists the lines that no test ran; fails if less than PERCENT of all lines were run.
"""

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OBJECTS = ROOT / "build/host-coverage"
KERNELS = "csrc/cuda/"


def reports(data):
    """gcov's report for each object, compressed JSON in the folder where it runs."""
    with tempfile.TemporaryDirectory() as folder:
        command = [os.environ.get("GCOV", "gcov"), "--json-format"]
        for path in data:
            done = subprocess.run([*command, path], cwd=folder, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"gcov cannot read {path}:\n{done.stderr}")
            for report in Path(folder).glob("*.gcov.json.gz"):
                yield json.loads(gzip.decompress(report.read_bytes()))
                report.unlink()


def count_lines():
    """{file: {line: how often it was run}}, over all instantiations of a template."""
    lines = defaultdict(lambda: defaultdict(int))
    for report in reports(sorted(OBJECTS.glob("csrc/**/*.gcda"))):
        for file in report["files"]:
            path = Path(report["current_working_directory"], file["file"]).resolve()
            if not path.is_relative_to(ROOT / KERNELS):
                continue
            counts = lines[path.relative_to(ROOT / KERNELS)]
            for line in file["lines"]:
                counts[line["line_number"]] += line["count"]
    return lines


def ranges(numbers):
    """[1, 2, 3, 7] → "1-3, 7"."""
    found = []
    for n in numbers:
        if found and n == found[-1][1] + 1:
            found[-1][1] = n
        else:
            found.append([n, n])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in found)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reset", action="store_true")
    parser.add_argument("--missing", action="store_true")
    parser.add_argument("--least", type=float, default=0.0)
    options = parser.parse_args()
    if options.reset:
        for path in OBJECTS.glob("**/*.gcda"):
            path.unlink()
        return
    lines = count_lines()
    if not lines:
        sys.exit(f"Nothing in {OBJECTS}: run the tests with DRSL_HOST_VARIANT=coverage first.")
    covered = total = 0
    for path, counts in sorted(lines.items()):
        missing = sorted(n for n, count in counts.items() if count == 0)
        run = len(counts) - len(missing)
        covered, total = covered + run, total + len(counts)
        told = f"  not run: {ranges(missing)}" if missing and options.missing else ""
        print(f"{KERNELS}{path!s:32} {run:4} of {len(counts):4} lines{told}")
    percent = 100 * covered / total
    print(f"{percent:.1f} % of {total} lines of the kernels and their launchers were run")
    if percent < options.least:
        sys.exit(f"At least {options.least:g} % are wanted: --missing lists the lines.")


if __name__ == "__main__":
    main()
