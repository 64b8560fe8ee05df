"""python bench/evaluation.py: drsl_cuda.metrics.evaluate against the bare product of queries and gallery.

Random features at the sizes of Market-1501 and MSMT17, 750 identities, 6 cameras; both take turns. The
product is formed in blocks of 512 queries, as the whole of it would not fit in memory.
"""

import argparse
import statistics
import time

import torch

from drsl_cuda import metrics

SIZES = ((3368, 19732, 2048), (11659, 82161, 768))
QUICK = ((300, 2000, 64),)
BLOCK = 512


def features(count, dim, generator):
    ids = torch.randint(1, 751, (count,), generator=generator)
    cameras = torch.randint(0, 6, (count,), generator=generator)
    return torch.randn(count, dim, generator=generator), ids, cameras


def seconds(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run at all")
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args(arguments)
    for queries, entries, dim in QUICK if arguments.quick else SIZES:
        generator = torch.Generator().manual_seed(0)
        query, gallery = (features(n, dim, generator) for n in (queries, entries))

        def product(x=query[0], r=gallery[0]):
            for first in range(0, len(x), BLOCK):
                x[first : first + BLOCK] @ r.T

        def evaluation(query=query, gallery=gallery):
            metrics.evaluate(*query, *gallery)

        both = [(seconds(product), seconds(evaluation)) for _ in range(arguments.repeat)]
        bare, ours = (statistics.median(times) for times in zip(*both, strict=True))
        ratios = ", ".join(f"{b / a:.2f}" for a, b in both)
        print(
            f"{queries} x {entries} x {dim}: product {bare:.2f} s, evaluation {ours:.2f} s, "
            f"ratio {ours / bare:.2f} ({ratios})",
            flush=True,
        )


if __name__ == "__main__":
    main()
