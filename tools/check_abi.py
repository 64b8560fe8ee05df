"""Checks that the built library loads into every torch that pyproject.toml promises.

Usage: python tools/check_abi.py [LIBRARY], default: the one that was built in place.

Symbols of torch: only those of LibTorch's stable ABI, none newer than the oldest torch we support
(torch-abi-audit knows their age). Libraries: only torch_cpu and the C++ runtime; a second OpenMP
runtime would compete with torch's for the cores, and a CUDA library would be missing elsewhere.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NEEDED = ("libtorch_cpu.", "libstdc++.", "libgcc_s.", "libc.", "libm.", "ld-linux")
NEEDED_BY_CUDART = ("libdl.", "librt.", "libpthread.")  # empty shells of libc in newer systems


def find_library():
    libraries = sorted(ROOT.glob("drsl_cuda/_C*.so"), key=lambda path: path.stat().st_mtime)
    if not libraries:
        sys.exit("There is no drsl_cuda/_C*.so: run make build first.")
    return libraries[-1]


def as_numbers(version):
    return tuple(int(part) for part in version.split(".")[:2])


def torch_faults(library):
    auditor = Path(sys.executable).with_name("torch-abi-audit")
    audit = subprocess.run([auditor, "--json", library], stdout=subprocess.PIPE, check=True)
    found = json.loads(audit.stdout)["extensions"][0]["torch"]
    print(f"stable symbols of torch: {found['stable_shim_count']}", end=", ")
    print(f"oldest torch: {found['min_torch_version']}")
    for symbol in found["unstable_symbols"] + found["unknown_shim_symbols"]:
        yield f"{symbol} is not in torch's stable ABI"
    promised = re.search(r'"torch>=([\d.]+)"', (ROOT / "pyproject.toml").read_text())[1]
    if as_numbers(found["min_torch_version"]) > as_numbers(promised):
        newest = ", ".join(found["version_defining_symbols"])
        yield f"needs torch {found['min_torch_version']}, not {promised}: {newest}"


def library_faults(library):
    dynamic = subprocess.run(["readelf", "-d", library], capture_output=True, text=True, check=True)
    needed = re.findall(r"NEEDED.*\[(.+)\]", dynamic.stdout)
    print("libraries:", *needed)
    for name in needed:
        if not name.startswith(NEEDED + NEEDED_BY_CUDART):
            yield f"{name} must not be linked"


def main():
    library = Path(sys.argv[1]) if len(sys.argv) > 1 else find_library()
    faults = [*torch_faults(library), *library_faults(library)]
    sys.exit("\n".join(faults) if faults else 0)


if __name__ == "__main__":
    main()
