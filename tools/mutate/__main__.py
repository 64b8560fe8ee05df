"""python tools/mutate: flips operators, comparisons and constants, and sees whether a test notices.

    list     every mutant: number, place, what becomes what
    run      builds what is needed and runs the tests on mutants without a result yet
    report   counts, and those that survived

Mutants of csrc/ are switches in one library (switches.h), those of drsl_cuda/reference are put into the
running process: no mutant costs a build. Numbers, samples and results depend on the sources alone.
Everything is written to --folder as it comes: run goes on where it was stopped. Needs 2 GB of memory.
"""

import argparse
import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import native
import rebuild
import reference

ROOT = Path(__file__).resolve().parents[2]
TESTS = ("drsl", "losses", "losses_degenerate", "pairwise", "rank_sort", "redistribute", "scores",
         "scores_errors", "scores_fuzz", "oracle", "properties", "degenerate", "extremes", "fuzz",
         "layouts", "gradients", "reference_blocks", "metrics", "metrics_call", "metrics_fuzz",
         "module", "errors", "fuzz_parameters", "numerics", "mutants")  # fmt: skip


KINDS = ("native", "reference")


def every_mutant():
    mutants = native.all_mutants(ROOT)
    return mutants + reference.all_mutants(ROOT, len(mutants) + 1)


def kind_of(path):
    return "native" if path.startswith("csrc/") else "reference"


def results(folder):
    """{number: the last result}"""
    found = {}
    for kind in KINDS:
        path = folder / kind / "results.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        found |= {one["number"]: one for one in map(json.loads, lines)}
    return found


def prepare(folder, kind, sanitized):
    """The sources in `folder`, built; the mutants. What was found for other sources is set aside."""
    switches = rebuild.build(folder, sanitized) if kind == "native" else rebuild.copy(folder)
    mutants = [vars(m) | {"switch": switches(m)} for m in every_mutant()]
    mutants = [m for m in mutants if kind_of(m["path"]) == kind]
    new, kept = json.dumps(mutants), folder / "mutants.json"
    names = [(m["number"], m["path"], m["text"], m["now"]) for m in mutants]
    old = json.loads(kept.read_text()) if kept.exists() else []
    if old and names != [(m["number"], m["path"], m["text"], m["now"]) for m in old]:
        for name in ("results.jsonl", "survey.jsonl"):
            if (folder / name).exists():
                (folder / name).replace(folder / f"{name}.old")
    rebuild.replace(kept, new.encode())
    return mutants


def choose(mutants, options, known):
    chosen = [m for m in mutants if m["switch"] and options.only in m["path"]]
    if options.numbers:
        return [m["number"] for m in chosen if m["number"] in options.numbers]
    if options.sample:
        chosen = random.Random(options.seed).sample(chosen, min(options.sample, len(chosen)))
    again = set(options.again.split(",")) if options.again else set()
    return [
        m["number"] for m in chosen
        if m["number"] not in known or known[m["number"]]["result"] in again
    ]  # fmt: skip


def run(options):
    for kind in KINDS:
        if any(options.only in m.path and kind_of(m.path) == kind for m in every_mutant()):
            run_kind(options, kind)
    return report(options)


def run_kind(options, kind):
    folder = options.folder.resolve() / kind
    mutants = prepare(folder, kind, options.sanitized)
    numbers = choose(mutants, options, results(options.folder))
    if not numbers:
        return
    print(f"{kind}: {len(numbers)} mutants to run", file=sys.stderr)
    environment = os.environ | {
        "DRSL_MUTATE_FOLDER": str(folder),
        "DRSL_MUTATE_NUMBERS": json.dumps(numbers),
        "DRSL_MUTATE_JOBS": str(options.jobs),
        "DRSL_MUTATE_BUDGET": str(options.budget),
        "DRSL_CASES_EACH": str(options.cases),
        "OMP_WAIT_POLICY": "passive",
        "PYTHONPATH": os.pathsep.join(map(str, [folder, Path(__file__).parent, ROOT / "tools"])),
    }
    if options.sanitized:
        environment |= rebuild.sanitizer()
    tests = [f"tests/test_{name}.py" for name in options.tests.split(",")]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "few_tests", "-p", "plugin",
               "-p", "no:cacheprovider", "-p", "no:faulthandler", "-m", "not slow",
               "--no-header", "--no-summary", *tests]  # fmt: skip
    done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    if done.returncode:
        sys.exit(
            f"pytest ended with status {done.returncode}: run goes on from here when run again."
        )


def report(options):
    mutants = {m.number: vars(m) for m in every_mutant()}
    known = {n: r for n, r in results(options.folder).items() if n in mutants}
    for what in ("csrc/core/", "csrc/cpu/", "drsl_cuda/reference/"):
        counts = Counter(
            r["result"] for n, r in known.items() if mutants[n]["path"].startswith(what)
        )
        total = sum(m["path"].startswith(what) for m in mutants.values())
        told = ", ".join(f"{count} {result}" for result, count in sorted(counts.items()))
        print(f"{what}: {total} mutants, {sum(counts.values())} run: {told}")
    for number, found in sorted(known.items()):
        if found["result"] in ("survived", "no change", "not reached"):
            print(f"{number:5} {found['result']:11} {found['name']}  |  {found['text']}")
    return 0


def show(_):
    for m in every_mutant():
        print(f"{m.number:5} {m.name}  |  {m.text}")
    return 0


def main():
    parser = argparse.ArgumentParser(
        prog="python tools/mutate", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("command", choices=("list", "run", "report"))
    parser.add_argument("--folder", type=Path, default=ROOT / "build/mutants")
    parser.add_argument("--sample", type=int, metavar="N", help="N of them, by chance")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", metavar="TEXT", help="in files whose path has TEXT")
    parser.add_argument("--numbers", type=lambda text: {int(n) for n in text.split(",")})
    parser.add_argument(
        "--again", default="", help="results to find again, such as survived,timeout"
    )
    parser.add_argument("--tests", default=",".join(TESTS), help="of these files: drsl,losses,…")
    parser.add_argument("--cases", type=int, default=12, help="of each test function, at most")
    parser.add_argument(
        "--budget",
        type=float,
        default=60,
        help="seconds for the tests of a mutant that none notices",
    )
    parser.add_argument(
        "--sanitized",
        action="store_true",
        help="C++ under AddressSanitizer; in a folder of its own",
    )
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    sys.exit({"list": show, "run": run, "report": report}[options.command](options))


if __name__ == "__main__":
    main()
