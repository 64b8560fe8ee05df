"""make lock: pins of everything that development installs, and of what that needs, with hashes.

Usage: python tools/lock.py [--upgrade] [--cpu-torch FOLDER]

Reads   requirements/*.txt, examples/*/requirements.txt   what we ask for; dev.txt pins its versions
Writes  a .lock beside each, for Python 3.10 and later on any platform:

    dev.lock     all that `make` puts into .venv, but
    cuda.lock    libraries that only a torch with CUDA asks for
    cpu.lock     torch without CUDA, where such a wheel can be had: FOLDER has some
    any other    what it adds to dev.lock

Every line is one that pip --require-hashes --no-deps takes. Versions that a lock has are kept, unless
--upgrade. Needs uv (pip install uv) and the package index.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "requirements"
OLDEST_PYTHON = "3.10"
# What torch asks for on Linux if it is built with CUDA.
WITH_CUDA = re.compile(r"(nvidia-(?!cuda-(cuobjdump|nvdisasm)\b)|cuda-|triton\b)")


def inputs():
    """dev.txt, whose versions all others keep to, and the others."""
    found = [*FOLDER.glob("*.txt"), *ROOT.glob("examples/*/requirements.txt")]
    first = FOLDER / "dev.txt"
    return [first, *sorted(path for path in found if path != first)]


def uv():
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    return found or sys.exit("make lock needs uv: pip install uv.")


def entries(text):
    """{(name, marker): [its lines]} of a lock."""
    found, lines = {}, None
    for line in text.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if not line[0].isspace():
            requirement = line.rstrip(" \\")
            lines = found.setdefault(requirement, [])
        lines.append(line)
    return found


def compiled(path, known, upgrade):
    """The entries of what is asked for in `path`, at versions that agree with `known`."""
    draft = path.with_name(path.name + ".draft")
    constraints = path.with_name(path.name + ".constraints")
    try:
        old = "".join("\n".join(lines) + "\n" for lines in known.values())
        for lock in locks_of(path):
            old += lock.read_text() if lock.exists() else ""
        draft.write_text(old)
        constraints.write_text("".join(f"{requirement}\n" for requirement in known))
        command = [uv(), "pip", "compile", "--quiet", "--universal", "--generate-hashes"]
        command += ["--python-version", OLDEST_PYTHON, "--no-header", "--no-annotate"]
        command += ["--upgrade"] if upgrade else []
        command += ["--constraints", constraints, "--output-file", draft, path]
        if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
            sys.exit(f"{path.relative_to(ROOT)} has no solution: see above.")
        return entries(draft.read_text())
    finally:
        draft.unlink(missing_ok=True)
        constraints.unlink(missing_ok=True)


def locks_of(path):
    return [path.with_suffix(".lock"), *([FOLDER / "cuda.lock"] if path.stem == "dev" else [])]


def write(path, what, found):
    text = f"# {what}. Made by `make lock`: change the .txt, not this.\n"
    text += "".join("\n".join(lines) + "\n" for lines in found.values())
    beside = path.with_suffix(".part")
    with beside.open("w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    beside.replace(path)
    print(f"{path.relative_to(ROOT)}: {len(found)} packages")


def cpu_torch(folder, version):
    """The entry of torch+cpu from the wheels in a folder, and those that cpu.lock has of this version."""
    requirement = f"torch=={version}+cpu"
    path = FOLDER / "cpu.lock"
    old = entries(path.read_text()) if path.exists() else {}
    hashes = re.findall(r"sha256:\w+", "\n".join(old.get(requirement, [])))
    wheels = sorted(folder.glob(f"torch-{version}+cpu-*.whl")) if folder else []
    for wheel in wheels:
        hashes.append("sha256:" + hashlib.sha256(wheel.read_bytes()).hexdigest())
    lines = [f"    --hash={one}" for one in sorted(set(hashes))]
    return {requirement: [f"{requirement} \\", *[f"{one} \\" for one in lines[:-1]], *lines[-1:]]}


def main():
    parser = argparse.ArgumentParser(
        prog="make lock", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--upgrade", action="store_true", help="newest versions of what is not pinned"
    )
    parser.add_argument(
        "--cpu-torch", type=Path, metavar="FOLDER", help="wheels of torch without CUDA"
    )
    options = parser.parse_args()
    development, *others = inputs()
    known = compiled(development, {}, options.upgrade)
    with_cuda = {name: lines for name, lines in known.items() if WITH_CUDA.match(name)}
    write(FOLDER / "dev.lock", "What make puts into .venv",
          {name: lines for name, lines in known.items() if name not in with_cuda})  # fmt: skip
    write(FOLDER / "cuda.lock", "What torch with CUDA asks for besides", with_cuda)
    torch = next(name.split("==")[1] for name in known if name.startswith("torch=="))
    entry = cpu_torch(options.cpu_torch, torch)
    if len(next(iter(entry.values()))) > 1:
        write(FOLDER / "cpu.lock", "torch without CUDA, of those wheels that were at hand", entry)
    names = {re.split("[ =]", requirement)[0] for requirement in known}
    for path in others:
        found = compiled(path, known, options.upgrade)
        more = {r: lines for r, lines in found.items() if re.split("[ =]", r)[0] not in names}
        write(path.with_suffix(".lock"), f"What {path.relative_to(ROOT)} adds to dev.lock", more)


if __name__ == "__main__":
    main()
