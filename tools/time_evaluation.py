"""python tools/time_evaluation.py: drsl_cuda.metrics.evaluate against the bare product.

Random float32 features at the sizes of Market-1501 and MSMT17, 750 identities, 6 cameras. Both take
turns, so that a busy machine is busy for both; the product is formed in blocks of 512 queries, as the
whole of it would not fit in memory. Seconds on the clock and of the processor (of all threads
together): medians, and ratios of turns with their range. Memory is the largest resident set of an
evaluation in a process of its own, less what was resident when it began; it is sampled every 2 ms.
"""

import argparse
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import torch

from drsl_cuda import metrics

SIZES = ((3368, 19732, 2048), (11659, 82161, 768))
QUICK = ((300, 2000, 64),)
BLOCK = 512


def features(count, dim, generator, identities=750):
    ids = torch.randint(1, identities + 1, (count,), generator=generator)
    cameras = torch.randint(0, 6, (count,), generator=generator)
    return torch.randn(count, dim, generator=generator), ids, cameras


def problem(queries, entries, dim, part=1.0):
    """A part of the queries has the same part of the identities."""
    generator = torch.Generator().manual_seed(0)
    query = features(int(queries * part), dim, generator, max(1, int(750 * part)))
    return query, features(entries, dim, generator)


def product(query, gallery):
    for first in range(0, len(query), BLOCK):
        query[first : first + BLOCK] @ gallery.T


def seconds(run):
    start = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - start[0], time.process_time() - start[1]


def resident():
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * 4096


def extra_memory(size, threads, part):
    """Bytes beyond the arguments, in this process: the first evaluation of it."""
    torch.set_num_threads(threads)
    metrics.evaluate(*(x for side in problem(40, 200, 16) for x in side))  # what is loaded once
    query, gallery = problem(*size, part)
    before, most, over = resident(), 0, threading.Event()

    def watch():
        nonlocal most
        while not over.wait(0.002):
            most = max(most, resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        metrics.evaluate(*query, *gallery)
    finally:
        over.set()
        watcher.join()
    return max(0, most - before)


def measure(size, threads, repeat, part):
    torch.set_num_threads(threads)
    query, gallery = problem(*size, part)
    turns = []
    for turn in range(repeat):
        turns.append(
            (seconds(lambda: product(query[0], gallery[0])),
             seconds(lambda: metrics.evaluate(*query, *gallery)))
        )  # fmt: skip
        print(f"\r{turn + 1} of {repeat} turns ", end="", file=sys.stderr, flush=True)
    print("\r", end="", file=sys.stderr)
    report = []
    for clock in (0, 1):
        bare, ours = (statistics.median(both[i][clock] for both in turns) for i in (0, 1))
        ratios = sorted(both[1][clock] / both[0][clock] for both in turns)
        report.append((bare, ours, statistics.median(ratios), ratios[0], ratios[-1]))
    return report


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run at all")
    parser.add_argument("--repeat", type=int, default=3, help="turns (3)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--part", type=float, default=1.0, help="of the queries, 0 to 1 (all)")
    parser.add_argument("--memory-of", type=int, nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if not (0 < given.part <= 1 and given.repeat >= 1 and given.threads >= 1):
        parser.error("--part must be in (0, 1], --repeat and --threads at least 1")
    if given.memory_of:
        print(extra_memory(given.memory_of, given.threads, given.part))
        return
    for size in QUICK if given.quick else SIZES:
        wall, processor = measure(size, given.threads, given.repeat, given.part)
        child = [
            sys.executable,
            __file__,
            "--threads",
            str(given.threads),
            "--part",
            str(given.part),
        ]
        done = subprocess.run(
            [*child, "--memory-of", *map(str, size)], check=True, capture_output=True, text=True
        )
        print(f"{size[0]} x {size[1]} x {size[2]}, {given.threads} threads")
        for name, (bare, ours, ratio, low, high) in (("clock", wall), ("processor", processor)):
            print(
                f"  {name:9s}  product {bare:6.2f} s  evaluation {ours:6.2f} s  "
                f"ratio {ratio:.2f} ({low:.2f} to {high:.2f})"
            )
        print(f"  memory     {int(done.stdout) / 2**20:.0f} MiB beside the arguments", flush=True)


if __name__ == "__main__":
    main()
