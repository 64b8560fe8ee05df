"""Bytes and operations of a case, and the time that a machine cannot go below.

python -m bench.floors: the table of docs/kernels.md, on an H200.

On a GPU a floor is the sum over the stages of csrc/cuda/stages.h, each the largest of three: bytes over
the rate of a copy, floating-point operations over the rate of a library product, instructions over the
rate of the plain lanes. Each array is counted once a stage, however often a kernel meets it in a cache.
On a CPU, whose caches hold a block of rows from stage to stage, it is one stage: the products that the
case cannot do without (half a Gram matrix where the batch is its own gallery), or what goes in and out.
"""

import math
from typing import NamedTuple

LANES = 132 * 128 * 1.98e9  # instructions/s: multiprocessors, lanes, clock
H200 = {
    "copy": 4.3e12,  # bytes/s read and written: measured
    "lanes": LANES,
    "products": {  # floating-point operations/s of library products
        "float32 highest": 50e12,  # published
        "float32 high": 400e12,  # TF32, published
        "bfloat16": 790e12,  # measured
        "float16": 790e12,
    },
}
HELD = 2**30  # bytes of a Gram matrix that is held whole (csrc/cuda/plan.cpp)
SMALL, SMALL_QUERIES = 512, 4096  # rows of a set, and of all sets, that go the small way


class Floor(NamedTuple):
    stage: str
    bytes: float
    flops: float = 0  # of matrix products
    instructions: float = 0  # of plain lanes

    def times(self, kind, rates):
        return {
            "copy": self.bytes / rates["copy"],
            "product": self.flops / rates["products"].get(kind, math.inf) if self.flops else 0,
            "lanes": self.instructions / rates.get("lanes", math.inf),
        }

    def seconds(self, kind, rates=H200):
        return max(self.times(kind, rates).values())

    def bound(self, kind, rates=H200):
        """What the floor is made of."""
        times = self.times(kind, rates)
        return max(times, key=times.get)


def kind_of(case):
    return f"{case.dtype} {case.precision}" if case.dtype == "float32" else case.dtype


def item_of(case):
    return 4 if case.dtype == "float32" else 2


def entry_instructions(positives):
    """Of one entry of a row in `turn`: distance and back, and steps against each positive.

    12: two norms, one fused multiply-add, inverse root, product, two comparisons, load, store. A
    step costs two instructions in each of two visits; among many positives two binary searches
    take its place.
    """
    if positives <= 64:
        return 12 + 4 * positives
    return 12 + 8 * math.log2(positives)


def is_small(case):
    return case.size <= SMALL and case.sets * case.size <= SMALL_QUERIES


def is_streamed(case):
    return 4 * case.size**2 > HELD


def stages(case):
    """[Floor] of a batch that is its own gallery, on a GPU."""
    S, B, D, n = case.sets, case.size, case.dim, case.positives
    item, streamed = item_of(case), is_streamed(case)
    rows, gradient, matrix = S * B * D * item, 4 * S * B * D, 4 * S * B * B
    pairs = B * B if streamed else B * (B + 1) // 2
    products = 2 if streamed else 1  # A·R and Aᵀ·X, or S·X
    near = matrix / 32 + S * B * B / 128  # a bit a pair, a byte for 128
    if is_small(case):  # distances from differences: three instructions a number
        measure = Floor("measure", 0)
        gram = Floor("gram", rows + 2 * matrix, 0, 3 * S * pairs * D)
        turn = Floor("turn", 3 * matrix, 0, S * B * B * entry_instructions(n))
    else:
        measure = Floor("measure", rows + 12 * S * B, 0, 2 * S * B * D)
        gram = Floor("gram", rows + matrix, 2 * S * pairs * D, 0)
        turn = Floor("turn", 2 * matrix + near, 0, S * B * B * entry_instructions(n))
    angular = Floor("sum_angular", 4 * S * B * (n + 1), 0, S * B * n)
    moved = products * (matrix + near + rows + gradient)
    redistribute = Floor("redistribute", moved, products * 2 * S * B * B * D, 0)
    return [measure, gram, turn, angular, redistribute]


def least(case):
    """[Floor]: the products that a case cannot do without, and what goes in and out."""
    S, B, G, D = case.sets, case.size, case.columns, case.dim
    if case.kind == "scores":
        return [Floor("scores", 12 * B)]  # scores and targets in, a gradient out
    if case.kind == "evaluation":
        return [Floor("places", item_of(case) * (B + G) * D, 2 * B * G * D)]
    if case.kind == "gallery":
        sides = 3 if case.both_sides else 2
        outs = B + (G if case.both_sides else 0)
        return [Floor("loss", item_of(case) * (B + G) * D + 4 * outs * D, sides * 2 * B * G * D)]
    pairs = B * (B + 1) // 2 + B * B
    return [Floor("loss", S * (item_of(case) + 4) * B * D, 2 * S * pairs * D)]


def of_case(case, device):
    return stages(case) if case.kind == "batch" and device == "cuda" else least(case)


def library_products(case, rates=H200):
    """The floor of x @ x.T and s @ x in the type of x."""
    S, B, D = case.sets, case.size, case.dim
    item, flops = item_of(case), 2 * S * B * B * D
    matrix, rows = S * B * B * item, S * B * D * item
    each = Floor("product", matrix + 2 * rows, flops, 0)
    return 2 * each.seconds(kind_of(case), rates)


def total(case, device="cuda", rates=H200):
    return sum(floor.seconds(kind_of(case), rates) for floor in of_case(case, device))


def reached(case, device, seconds, rates):
    """{"bytes_per_second", "flops", "bound_ms", "of_bound"} of a call that took so long."""
    floors = of_case(case, device)
    bound = total(case, device, rates)
    return {
        "bytes_per_second": sum(floor.bytes for floor in floors) / seconds,
        "flops": sum(floor.flops for floor in floors) / seconds,
        "bound_ms": 1e3 * bound,
        "of_bound": bound / seconds,
    }


def in_us(seconds):
    us = 1e6 * seconds
    return f"{us:.2f}" if us < 10 else f"{us:.0f}" if us < 1e4 else f"{us:,.0f}".replace(",", " ")


def table(cases):
    """Markdown, microseconds; after each time what binds."""
    names = [floor.stage for floor in stages(cases[0])]
    lines = [f"| B, K, D, type | {' | '.join(names)} | sum | two products | ratio |"]
    lines.append("|---" * (len(names) + 4) + "|")
    for case in cases:
        kind = kind_of(case)
        cells = [
            f"{in_us(f.seconds(kind))} {f.bound(kind)[0]}" if f.bytes else "–" for f in stages(case)
        ]
        products = library_products(case)
        ratio = total(case) / products
        cells += [in_us(total(case)), in_us(products), f"{ratio:.2f}"]
        lines.append(f"| {case.full_title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def documented():
    """The cases of docs/kernels.md."""
    from bench.cases import CASES

    first = [case for case in CASES if case.kind == "batch" and "cuda" in case.devices]
    return [case for case in first if case.features == "random"][:13]


if __name__ == "__main__":
    print(table(documented()))
