"""One library with every mutant of the C++ sources in it, as switches."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from native import rewritten

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent

STATE = """// Which mutant is active (switches.h), and which were reached.
extern "C" __attribute__((visibility("default"))) int drsl_mutant = 0;
extern "C" __attribute__((visibility("default"))) unsigned char drsl_mutants_reached[%d] = {};
"""
# One instruction set, quick to compile; the symbols above stay visible.
CHANGED_FLAGS = {
    '"-O3"': '"-O1", "-w", "-DDRSL_NO_CLONES", "-march=native", "-ftemplate-backtrace-limit=0", '
    '"-include", str(ROOT / "switches.h")',
    '"-Wall", "-Wextra", ': "",
    ', "-Wl,--version-script=csrc/exports.map"': "",
}


def build(folder):
    """The project with all mutants in `folder`, built. Gives a function: is this mutant a switch?"""
    kept = folder / "not_switches.json"
    left_out = {tuple(place) for place in json.loads(kept.read_text())} if kept.exists() else set()
    while True:
        lay_out(folder, left_out)
        log = compile_all(folder)
        if log is None:
            return lambda m: (m.path, m.line) not in left_out
        (folder / "build.log").write_text(log)
        places = where_it_failed(log)
        if not places - left_out:
            sys.exit(f"The library with mutants does not compile:\n{log[-4000:]}")
        left_out |= places
        kept.write_text(json.dumps(sorted(left_out)))
        print(f"not switches: {len(left_out)} lines", file=sys.stderr)


def copy(folder):
    """The project as it is, with the library that was built in place."""
    libraries = sorted(ROOT.glob("drsl_cuda/_C*.so"))
    if not libraries:
        sys.exit("There is no drsl_cuda/_C*.so: run make build first.")
    copy_files(folder)
    for library in libraries:
        replace(folder / library.relative_to(ROOT), library.read_bytes())
    return lambda m: True


def copy_files(folder, but=()):
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file() and name not in but:
            replace(folder / name, (ROOT / name).read_bytes())


def lay_out(folder, left_out):
    new = {str(path.relative_to(ROOT)): (text, len(some))
           for path, text, some in rewritten(ROOT, left_out)}  # fmt: skip
    copy_files(folder, but={*new, "setup.py"})
    for name, (text, _) in new.items():
        replace(folder / name, text.encode())
    count = sum(some for _, some in new.values())
    replace(folder / "switches.h", (HERE / "switches.h").read_bytes())
    replace(folder / "csrc/mutants.cpp", (STATE % (count + 2)).encode())
    setup = (ROOT / "setup.py").read_text()
    for was, now in CHANGED_FLAGS.items():
        if was not in setup:
            sys.exit(f"setup.py has no {was} any more: mend tools/mutate/build.py.")
        setup = setup.replace(was, now)
    replace(folder / "setup.py", setup.encode())


def replace(path, content):
    """Written only if it differs, so that what need not be compiled again is not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_bytes() != content:
        path.write_bytes(content)


def compile_all(folder):
    """None, or what the compiler said."""
    environment = os.environ | {"DRSL_CUDA": "off", "MAX_JOBS": "2"}
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
    return done.stdout if done.returncode else None


def where_it_failed(log):
    """The source lines that errors are about: their own, or the nearest that asked for a template."""
    place = re.compile(r"(csrc/(?:core|cpu)/[\w/.]+):(\d+):")
    places, asked = set(), None
    for line in log.splitlines():
        found = place.search(line)
        if found and "required from" in line and asked is None:
            asked = found
        if " error: " in line:
            if found or asked:
                path, number = (found or asked).groups()
                places.add((path, int(number)))
            asked = None
    return places
