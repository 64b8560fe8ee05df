"""Checks what a release holds: all of the sources in the sdist, the package alone in the wheel.

Usage: python tools/check_dist.py FOLDER, such as dist/ after make wheel.
"""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

SHIPPED_AS_SOURCE = ["bench", "csrc", "drsl_cuda", "docs", "tests", "tools", "setup.py"]
SHIPPED_AS_SOURCE += ["pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "Makefile"]
SHIPPED_AS_SOURCE += ["examples", "requirements", "SECURITY.md"]


def tracked(*paths):
    listed = subprocess.run(["git", "ls-files", *paths], capture_output=True, text=True, check=True)
    return set(listed.stdout.splitlines())


def only(folder, pattern):
    found = list(Path(folder).glob(pattern))
    if len(found) != 1:
        sys.exit(f"{folder} should hold one {pattern}, and holds {len(found)}.")
    return found[0]


def sdist_faults(archive):
    with tarfile.open(archive) as tar:
        held = {name.partition("/")[2] for name in tar.getnames()}
    print(f"{archive.name}: {len(held)} entries, {archive.stat().st_size / 1e3:.0f} kB")
    for path in sorted(tracked(*SHIPPED_AS_SOURCE) - held):
        yield f"{path} is not in {archive.name}"


def wheel_faults(archive):
    with zipfile.ZipFile(archive) as wheel:
        held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    print(f"{archive.name}: {len(held)} files, {archive.stat().st_size / 1e3:.0f} kB")
    libraries = {name for name in held if name.startswith("drsl_cuda/_C.")}
    if len(libraries) != 1:
        yield f"{archive.name} should hold one library, and holds {sorted(libraries)}"
    wanted = tracked("drsl_cuda")
    for path in sorted(wanted - held):
        yield f"{path} is not in {archive.name}"
    for path in sorted(held - wanted - libraries):
        yield f"{path} does not belong into {archive.name}"


def main():
    folder = sys.argv[1]
    faults = [*sdist_faults(only(folder, "*.tar.gz")), *wheel_faults(only(folder, "*.whl"))]
    sys.exit("\n".join(faults) if faults else 0)


if __name__ == "__main__":
    main()
