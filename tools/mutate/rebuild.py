"""One library with every mutant of the C++ sources in it, as switches."""

import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

from native import is_switch, rewritten

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent

STATE = """// Which mutant is active (switches.h), and which were reached.
extern "C" __attribute__((visibility("default"))) int drsl_mutant = 0;
extern "C" __attribute__((visibility("default"))) unsigned char drsl_mutants_reached[%d] = {};
"""
# One instruction set, quick to compile; the symbols above stay visible.
PLAIN = ["-O1"]
# As tools/build_cpu.py does for `make cpu-sanitized`: an element that is not there ends the process.
SANITIZED = ["-O0", "-fsanitize=address,bounds-strict", "-D_GLIBCXX_ASSERTIONS"]
CHANGED_FLAGS = {
    '"-O3"': '%s, "-w", "-DDRSL_NO_CLONES", "-march=native", "-ftemplate-backtrace-limit=0", '
    '"-include", str(ROOT / "switches.h")',
    '"-Wall", "-Wextra", ': "",
    ', "-Wl,--version-script=csrc/exports.map"': "",
}


def build(folder, sanitized=False):
    """The project with all mutants in `folder`, built. Gives a function: is this mutant a switch?"""
    kept, built = folder / "not_switches.json", folder / "built"
    left_out = {}
    if kept.exists():
        left_out = {(path, line): level for path, line, level in json.loads(kept.read_text())}
    failing = []
    while True:
        text = lay_out(
            folder, left_out, SANITIZED if sanitized else PLAIN
        )  # compiling costs minutes: not for the same text again
        if built.exists() and built.read_text() == text:
            return partial(is_switch, left_out=left_out)
        everything = sorted((folder / "csrc/cpu").glob("*.cpp"))
        checked = failing or everything
        places, failing = where_it_fails(folder, checked)
        if not places and checked != everything:
            continue  # those that failed before do not: now all of them
        if not places:
            compile_all(folder)
            built.write_text(text)
            continue
        places = {place for place in places if left_out.get(place, 0) < 2}
        if not places:
            sys.exit("The library does not compile, and not because of a mutant: see build.log.")
        for place in places:
            left_out[place] = left_out.get(place, 0) + 1
        kept.write_text(json.dumps(sorted((*place, level) for place, level in left_out.items())))
        print(f"{len(left_out)} lines want constants", file=sys.stderr)


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


def lay_out(folder, left_out, flags):
    """Writes the sources with switches; a word that changes when they do."""
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
            sys.exit(f"setup.py has no {was} any more: mend tools/mutate/rebuild.py.")
        setup = setup.replace(was, now.replace("%s", json.dumps(flags)[1:-1]))
    replace(folder / "setup.py", setup.encode())
    native = sorted(path for path in (folder / "csrc").rglob("*") if path.is_file())
    parts = [setup.encode(), *(path.read_bytes() for path in native)]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def replace(path, content):
    """Written only if it differs, so that what need not be compiled again is not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_bytes() != content:
        path.write_bytes(content)


def compile_all(folder):
    environment = os.environ | {"DRSL_CUDA": "off", "MAX_JOBS": "2"}
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    with (folder / "build.log").open("w") as log:
        done = subprocess.run(command, cwd=folder, env=environment, stdout=log, stderr=log)
    if done.returncode:
        sys.exit(f"The library with mutants was not built: see {folder / 'build.log'}.")


def sanitizer():
    """What a process that loads a sanitized library wants in its environment (see the Makefile)."""
    names = "libasan.so", "libstdc++.so"
    compiler = os.environ.get("CXX", "c++")
    found = [
        subprocess.run(
            [compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in names
    ]
    options = "detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=4096"
    return {"LD_PRELOAD": " ".join(found), "ASAN_OPTIONS": options}


def where_it_fails(folder, sources):
    """The lines in which the compiler, asked for no code, finds errors; the sources that have any."""
    include = Path(importlib.util.find_spec("torch").origin).parent / "include"
    command = [os.environ.get("CXX", "c++"), "-fsyntax-only", "-std=c++20", "-Werror=vla", "-fopenmp-simd",
               "-DDRSL_NO_CLONES", "-DTORCH_TARGET_VERSION=0x020a000000000000", "-I", "csrc", "-isystem",
               include, "-include", "switches.h", "-ftemplate-backtrace-limit=0"]  # fmt: skip
    places, failing, log = set(), [], ""
    for source in sources:
        done = subprocess.run(
            [*command, source.relative_to(folder)], cwd=folder, capture_output=True, text=True
        )
        log += done.stderr
        found = where_it_failed(done.stderr)
        if done.returncode and not found:
            sys.exit(
                f"{source} does not compile, and not because of a mutant:\n{done.stderr[-3000:]}"
            )
        places |= found
        failing += [source] if found else []
    (folder / "build.log").write_text(log)
    return places, failing


def where_it_failed(log):
    """The source lines that errors are about: their own, or the nearest that asked for a template."""
    place = re.compile(r"(csrc/(?:core|cpu)/[\w/.]+):(\d+):")
    places, asked = set(), None
    lines = log.splitlines()
    errors = [line for line in lines if " error: " in line]
    first = [
        line for line in errors if "call to non-" in line
    ]  # a literal that is to be a constant
    first = first or [line for line in errors if "variable length array" in line]
    for line in first or lines:  # other errors may follow from these
        found = place.search(line)
        if found and "required from" in line and asked is None:
            asked = found
        if " error: " in line:
            if found or asked:
                path, number = (found or asked).groups()
                places.add((path, int(number)))
            asked = None
    return places
