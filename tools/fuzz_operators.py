"""Fuzzes the operators below the Python checks: libFuzzer, AddressSanitizer and UBSan, from Python.

Usage: python tools/fuzz_operators.py [options of libFuzzer, as -max_total_time=600]
       python tools/fuzz_operators.py --keep   fewest inputs that go all ways → tests/operator_calls.txt
       python tools/fuzz_operators.py --try HEX...   runs these inputs

Needs clang++ with its compiler-rt. libFuzzer makes up bytes, tests/operator_calls.py turns them into a call
and says what every call has to keep, and the library (tools/build_cpu.py fuzzer) tells libFuzzer which of
its branches that took. What it finds stays in build/fuzz/corpus; it begins with tests/operator_calls.txt,
which the tests run too. An input that fails is written to build/fuzz/ and printed as --try takes it.
"""

import ctypes
import hashlib
import os
import shutil
import sys
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "tests/operator_calls.txt"
FOLDER = ROOT / "build/fuzz"
CORPUS = FOLDER / "corpus"
LONGEST = 96  # bytes
INSIDE = "DRSL_FUZZ_LIBRARY"  # the library's path, set where the sanitizer is loaded

sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tools")]


def read_kept():
    return [bytes.fromhex(line) for line in KEPT.read_text().split()] if KEPT.exists() else []


def write_kept(inputs):
    lines = sorted((data.hex() for data in inputs), key=lambda text: (len(text), text))
    temporary = KEPT.with_suffix(".new")
    temporary.write_text("\n".join(lines) + "\n")
    os.replace(temporary, KEPT)


def fill_corpus():
    CORPUS.mkdir(parents=True, exist_ok=True)
    for data in read_kept():
        (CORPUS / hashlib.sha1(data).hexdigest()).write_bytes(data)


def start_inside(arguments):
    """This program once more, with the sanitizer's library loaded before everything else."""
    import build_cpu

    library = build_cpu.build("fuzzer")
    runtime = build_cpu.runtime(build_cpu.compiler("clang++"), "libclang_rt.asan-x86_64.so")
    options = {
        "LD_PRELOAD": runtime,
        # memory that cannot be had is an error of torch, not the end
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=4096"
        ":handle_abort=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        # names of functions in what is printed
        "ASAN_SYMBOLIZER_PATH": shutil.which("llvm-symbolizer") or "",
        "OMP_WAIT_POLICY": "passive",
        INSIDE: str(library),
    }
    environment = os.environ | options
    os.execve(
        sys.executable, [sys.executable, str(Path(__file__).resolve()), *arguments], environment
    )


def load():
    import cpu_variant

    cpu_variant.load(os.environ[INSIDE])
    import drsl_cuda  # noqa: F401  registers what operators return


def one_call(data):
    import torch

    from operator_calls import decode
    from operator_promises import check

    name, arguments, threads = decode(data)
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    return name, check(name, arguments)


def fuzz(arguments):
    load()
    library = ctypes.PyDLL(os.environ[INSIDE])

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_ubyte), ctypes.c_size_t)
    def callback(data, size):
        data = ctypes.string_at(data, size)
        try:
            one_call(data)
        except BaseException:
            traceback.print_exc()
            print(f"python tools/fuzz_operators.py --try {data.hex()}", file=sys.stderr, flush=True)
            os.abort()
        return 0

    # Merging starts the program again, by this name.
    program = f"{sys.executable} {Path(__file__).resolve()}"
    words = [program, *arguments]
    argv = (ctypes.c_char_p * (len(words) + 1))(*[word.encode() for word in words], None)
    count = ctypes.c_int(len(words))
    library.LLVMFuzzerRunDriver(ctypes.byref(count), ctypes.byref(ctypes.pointer(argv)), callback)


def main(arguments):
    if "-h" in arguments or "--help" in arguments:
        return print(__doc__)
    if INSIDE not in os.environ:
        if "--try" not in arguments:
            fill_corpus()
        return start_inside(arguments)
    if arguments[:1] == ["--try"]:
        load()
        for text in arguments[1:]:
            print(*one_call(bytes.fromhex(text)))
        return None
    usual = [
        f"-max_len={LONGEST}",
        "-len_control=0",
        "-rss_limit_mb=8192",
        "-malloc_limit_mb=2000000000",
    ]
    usual += [f"-artifact_prefix={FOLDER}/", "-timeout=60", "-print_final_stats=1"]
    if arguments[:1] == ["--keep"]:
        fewest = FOLDER / "fewest"
        shutil.rmtree(fewest, ignore_errors=True)
        fewest.mkdir()
        if os.fork() == 0:
            fuzz([*usual, "-set_cover_merge=1", str(fewest), str(CORPUS)])
        os.wait()
        inputs = [path.read_bytes() for path in fewest.iterdir()]
        if inputs:
            write_kept(inputs)
        return print(f"{len(inputs)} inputs in {KEPT}")
    folders = [] if any(not word.startswith("-") for word in arguments) else [str(CORPUS)]
    return fuzz([*usual, *arguments, *folders])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
