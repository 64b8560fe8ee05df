"""python -m bench.install: what the benchmark likes to have, as far as it can be had; torch stays as it is.

Each package of requirements/bench.txt by itself, under a constraints file that names the torch and numpy
that are here. What cannot be installed is said, and is no error.
"""

import importlib.metadata
import subprocess
import sys
import tempfile
from pathlib import Path

WANTED = Path(__file__).resolve().parents[1] / "requirements/bench.txt"
KEPT = ("torch", "numpy")


def constraints():
    """Lines that forbid another version of what is here."""
    for name in KEPT:
        try:
            yield f"{name}=={importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            pass


def wanted(text):
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def install(requirement, constraint):
    """Whether it is there now."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, "--constraint", str(constraint), requirement],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "pip said nothing").splitlines()
        print(f"{requirement}: not installed, the benchmark goes on without it ({said[-1]})")
    return done.returncode == 0


def main(run=install):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "constraints.txt")
        file.write_text("".join(f"{line}\n" for line in constraints()))
        for requirement in wanted(WANTED.read_text()):
            run(requirement, file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
