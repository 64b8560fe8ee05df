"""python tools/gpu: everything that needs a GPU, in one go, with the Python and torch at hand.

Builds for the GPU that is there, tests, looks for memory errors and races, measures. Downloads
nothing. Results go to bench/results/<name of the GPU>/ and, if OUT is set, to that folder too.
Exit status: 0 all good, 1 something was not, 2 there is no GPU.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import verdict
from runner import all_good, run_all, slug
from steps import ROOT, SECONDS, all_steps, paths_of_python


def look_around():
    """Facts of this machine, or an exit where there is no GPU."""
    command = [sys.executable, str(Path(__file__).with_name("machine.py"))]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
        facts = json.loads(done.stdout)
    except (subprocess.SubprocessError, ValueError) as error:
        facts = {"gpu": None, "why": f"asking for one failed ({type(error).__name__})"}
    if facts["gpu"] is None:
        print(f"make gpu needs a GPU, and there is none to use: {facts['why']}.")
        print("Another Python is named with make gpu PYTHON=/path/to/python.")
        sys.exit(2)
    return facts


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="make gpu", description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for everything")
    parser.add_argument("--only", default="", help="names of steps, with commas between")
    parser.add_argument("--results", type=Path, default=ROOT / "bench/results")
    arguments = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)

    facts = look_around()
    folder = arguments.results.resolve() / slug(facts["gpu"]["name"])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.chdir(ROOT)
    chosen = [name.strip() for name in arguments.only.split(",") if name.strip()]
    steps = [s for s in all_steps(facts) if not chosen or s.name in chosen]

    def write(outcomes):
        verdict.write(folder, facts, outcomes)

    outcomes = run_all(steps, folder, arguments.seconds, write, paths_of_python())
    print(f"\n{verdict.table(outcomes)}\n\nResults: {folder}")
    return 0 if all_good(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
