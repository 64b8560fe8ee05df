"""What the compiler made of each CUDA kernel: needs what was built and cuobjdump, but no GPU.

Usage: python tools/kernel_report.py [--arch 90] [--match turn] [--quick] [--markdown]

Reads the objects of csrc/**/*.cu under build/. Registers, threads and static shared memory of each
kernel, how many blocks of it an SM can hold (without dynamic shared memory), and how often opcodes
occur that tell good code from bad: wide loads, asynchronous copies, matrix instructions. Exits with
1 where a kernel has a stack, spills to one, or has no launch bounds.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]

OPCODES = {  # what a column is called: what counts
    "HMMA": r"HMMA|HGMMA|UTC\w*MMA|DMMA",
    "LDSM": r"LDSM",
    "LDGSTS": r"LDGSTS",
    "LDG.128": r"LDG\.E\S*\.128",
    "STG.128": r"STG\.E\S*\.128",
    "LDS.128": r"LDS\S*\.128",
    "LDG": r"LDG",
    "LDS": r"LDS(?!M)",
    "FADD.SAT": r"FADD\S*\.SAT",
    "FFMA": r"FFMA",
    "DFMA": r"DFMA",
    "MUFU": r"MUFU",
    "BAR": r"BAR",
    "ATOM": r"ATOM|RED\b",
    "local": r"LDL|STL",
}
SHARED_OF_SM = {"80": 164, "86": 100, "89": 100, "120": 100}  # KiB; 228 if not named


class Kernel(NamedTuple):
    arch: str
    symbol: str
    registers: int
    stack: int
    local: int
    shared: int  # bytes, without the 1024 that each block of any kernel has for the system
    threads: int | None = None  # at most; None without launch bounds
    opcodes: Counter = Counter()  # noqa: RUF012  never changed

    def blocks(self):
        """Blocks of one SM, by registers, threads and static shared memory."""
        threads = -(-(self.threads or 1024) // 32) * 32
        by_registers = 65536 // (-(-self.registers // 8) * 8 * threads)
        shared = SHARED_OF_SM.get(self.arch, 228) * 1024 // (self.shared + 1024)
        return min(by_registers, 2048 // threads, shared, 32)

    def faults(self):
        if self.stack or self.local or self.opcodes["local"]:
            yield f"has {self.stack + self.local} bytes of stack: spills, or an array indexed at run time"
        if self.threads is None:
            yield "has no __launch_bounds__"


def find_cuobjdump():
    """The toolkit's, or that of the PyPI packages nvidia-cuda-cuobjdump and nvidia-cuda-nvdisasm."""
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH") or "/usr/local/cuda"
    packages = Path(sysconfig.get_paths()["purelib"]) / "nvidia"
    for folder in [Path(home, "bin"), *packages.glob("*/bin")]:
        if (folder / "cuobjdump").is_file() and (folder / "nvdisasm").is_file():
            return folder / "cuobjdump"
    on_path = shutil.which("cuobjdump")
    if on_path is None:
        sys.exit(
            "tools/kernel_report.py needs cuobjdump: of a CUDA toolkit, or pip install "
            "nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm"
        )
    return Path(on_path)


def find_objects():
    """Those of the sources that there are; a source without one is an error, if others have one."""
    built = ROOT / f"build/temp-{sys.implementation.cache_tag}"
    sources = sorted((ROOT / "csrc").rglob("*.cu"))
    objects = {s: (built / s.relative_to(ROOT)).with_suffix(".o") for s in sources}
    there = [path for path in objects.values() if path.exists()]
    missing = [str(s.relative_to(ROOT)) for s, path in objects.items() if not path.exists()]
    if not there:
        print("Built without CUDA kernels: nothing to report.")
        sys.exit(0)
    if missing:
        sys.exit(f"not compiled: {', '.join(missing)}: run make build first")
    return there


def dump(cuobjdump, *arguments):
    path = f"{cuobjdump.parent}{os.pathsep}{os.environ['PATH']}"  # it calls nvdisasm
    command = [str(cuobjdump), *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PATH": path}
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def resources(text):
    """[Kernel] of what --dump-resource-usage prints."""
    arch, found = "", []
    for line in text.splitlines():
        if match := re.match(r"arch = sm_(\d+\w?)", line):
            arch = match[1]
        elif match := re.match(r" Function (\S+):", line):
            symbol = match[1]
        elif "REG:" in line:
            number = {key: int(value) for key, value in re.findall(r"(\w+):(\d+)", line)}
            reserved = (
                1024 if int(arch.rstrip("af")) >= 90 and number["SHARED"] else 0
            )  # counted from sm_90 on
            usage = [number[key] for key in ("REG", "STACK", "LOCAL")]
            found.append(Kernel(arch, symbol, *usage, number["SHARED"] - reserved))
    return found


def launch_bounds(text):
    """{(arch, symbol): threads} of what -elf prints."""
    arch, symbol, found, expected = "", "", {}, False
    for line in text.splitlines():
        if match := re.match(r"arch = sm_(\d+\w?)", line):
            arch = match[1]
        elif match := re.match(r"\.nv\.info\.(\S+)", line):
            symbol = match[1]
        elif "EIATTR_MAX_THREADS" in line:
            expected = True
        elif expected and "Value:" in line:
            x, y, z = (int(word, 16) for word in line.split()[1:4])
            found[arch, symbol] = x * y * z
            expected = False
    return found


def opcodes(text):
    """{(arch, symbol): Counter} of what -sass prints."""
    arch, counter, found = "", None, {}
    instruction = re.compile(r"\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)")
    labels = {name: re.compile(pattern) for name, pattern in OPCODES.items()}
    for line in text.splitlines():
        if match := re.match(r"arch = sm_(\d+\w?)", line):
            arch = match[1]
        elif match := re.match(r"\s+Function : (\S+)", line):
            counter = found[arch, match[1]] = Counter()
        elif match := instruction.match(line):
            counter["all"] += 1
            for name, pattern in labels.items():
                counter[name] += bool(pattern.match(match[1]))
    return found


def read(cuobjdump, path, quick):
    kernels = resources(dump(cuobjdump, "--dump-resource-usage", path))
    bounds = launch_bounds(dump(cuobjdump, "-elf", path))
    counts = {} if quick else opcodes(dump(cuobjdump, "-sass", path))
    return [
        k._replace(
            threads=bounds.get((k.arch, k.symbol)),
            opcodes=counts.get((k.arch, k.symbol), Counter()),
        )
        for k in kernels
    ]


def demangle(symbols):
    """{symbol: name without parameters and without our own namespaces}."""
    filter_ = shutil.which("c++filt")
    if filter_ is None or not symbols:
        return {symbol: symbol for symbol in symbols}
    done = subprocess.run(
        [filter_, "-p"], input="\n".join(symbols), capture_output=True, text=True, check=True
    )
    lines = done.stdout.replace("> >", ">>").replace("> >", ">>").splitlines()
    names = (re.sub(r"drsl::(cuda::)?", "", line) for line in lines)
    return dict(zip(symbols, names, strict=True))


def table(kernels, names, markdown):
    columns = ["kernel", "sm", "registers", "threads", "blocks", "shared", "stack", "opcodes"]
    rows = []
    for k in kernels:
        counts = [f"{name} {k.opcodes[name]}" for name in OPCODES if k.opcodes[name]]
        of = f" of {k.opcodes['all']}" if k.opcodes else ""
        cells = [names[k.symbol], k.arch, k.registers, k.threads or "-", k.blocks(), k.shared]
        rows.append([*map(str, [*cells, k.stack + k.local]), ", ".join(counts) + of])
    if markdown:
        lines = [columns, ["---"] * len(columns), *rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [columns, *rows]
    ]
    return "\n".join(lines)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("objects", nargs="*", type=Path, help="instead of those under build/")
    parser.add_argument("--arch", help="of one architecture: 90")
    parser.add_argument("--match", default="", help="kernels with this in their name")
    parser.add_argument("--quick", action="store_true", help="do not disassemble")
    parser.add_argument("--markdown", action="store_true")
    arguments = parser.parse_args(arguments)

    objects, cuobjdump = arguments.objects or find_objects(), find_cuobjdump()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        parts = pool.map(lambda path: read(cuobjdump, path, arguments.quick), objects)
        kernels = [kernel for part in parts for kernel in part]
    names = demangle(sorted({kernel.symbol for kernel in kernels}))
    kernels = [
        k
        for k in sorted(kernels, key=lambda k: (names[k.symbol], int(re.sub(r"\D", "", k.arch))))
        if arguments.match in names[k.symbol] and arguments.arch in (None, k.arch)
    ]
    if not kernels:
        sys.exit("There is no such kernel.")
    print(table(kernels, names, arguments.markdown))
    faults = [f"sm_{k.arch} {names[k.symbol]} {fault}" for k in kernels for fault in k.faults()]
    print(f"\n{len(kernels)} kernels, {len(faults)} faults")
    sys.exit("\n".join(faults) if faults else 0)


if __name__ == "__main__":
    main()
