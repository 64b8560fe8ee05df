"""Bytes and operations of each stage of a loss, and the time that an H200 cannot go below.

Usage: python bench/floors.py: the table of docs/kernels.md. The stages are those of
csrc/cuda/stages.h, the gallery is the batch. A floor is the largest of three: bytes over the rate of
a copy, floating-point operations over the rate of a library product, instructions over the rate of
the plain lanes. Each array is counted once a stage, however often a kernel meets it in a cache.
"""

import math
from typing import NamedTuple

COPY = 4.3e12  # bytes/s read and written: measured on an H200
LANES = 132 * 128 * 1.98e9  # instructions/s: multiprocessors, lanes, clock
PRODUCT = {  # floating-point operations/s of library products
    "float32 highest": 50e12,  # published
    "float32 high": 400e12,  # TF32, published
    "bfloat16": 790e12,  # measured
    "float16": 790e12,
}
HELD = 2**30  # bytes of a Gram matrix that is held whole (csrc/cuda/plan.cpp)
SMALL, SMALL_QUERIES = 512, 4096  # rows of a set, and of all sets, that go the small way


class Floor(NamedTuple):
    stage: str
    bytes: float
    flops: float  # of matrix products
    instructions: float  # of plain lanes

    def seconds(self, kind):
        return max(self.bytes / COPY, self.flops / PRODUCT[kind], self.instructions / LANES)

    def bound(self, kind):
        """What the floor is made of."""
        times = {
            "copy": self.bytes / COPY,
            "product": self.flops / PRODUCT[kind],
            "lanes": self.instructions / LANES,
        }
        return max(times, key=times.get)


def kind_of(problem):
    kind = str(problem.dtype).removeprefix("torch.")
    return f"{kind} {problem.precision}" if kind == "float32" else kind


def item_of(problem):
    return 4 if "float32" in str(problem.dtype) else 2


def entry_instructions(positives):
    """Of one entry of a row in `turn`: distance and back, and steps against each positive.

    12: two norms, one fused multiply-add, inverse root, product, two comparisons, load, store. A
    step costs two instructions in each of two visits; among many positives two binary searches
    take its place.
    """
    if positives <= 64:
        return 12 + 4 * positives
    return 12 + 8 * math.log2(positives)


def is_small(problem):
    return problem.size <= SMALL and problem.sets * problem.size <= SMALL_QUERIES


def is_streamed(problem):
    return 4 * problem.size**2 > HELD


def stages(problem):
    """[Floor] of a problem whose gallery is the batch."""
    S, B, D, n = problem.sets, problem.size, problem.dim, problem.positives
    item, streamed = item_of(problem), is_streamed(problem)
    rows, gradient, matrix = S * B * D * item, 4 * S * B * D, 4 * S * B * B
    pairs = B * B if streamed else B * (B + 1) // 2
    products = 2 if streamed else 1  # A·R and Aᵀ·X, or S·X
    near = matrix / 32 + S * B * B / 128  # a bit a pair, a byte for 128
    if is_small(problem):  # distances from differences: three instructions a number
        measure = Floor("measure", 0, 0, 0)
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


def library_products(problem):
    """The floor of x @ x.T and s @ x in the type of x."""
    S, B, D = problem.sets, problem.size, problem.dim
    item, flops = item_of(problem), 2 * S * B * B * D
    matrix, rows = S * B * B * item, S * B * D * item
    each = Floor("product", matrix + 2 * rows, flops, 0)
    return 2 * each.seconds(kind_of(problem))


def total(problem):
    return sum(floor.seconds(kind_of(problem)) for floor in stages(problem))


def in_us(seconds):
    us = 1e6 * seconds
    return f"{us:.2f}" if us < 10 else f"{us:.0f}" if us < 1e4 else f"{us:,.0f}".replace(",", " ")


def table(problems):
    """Markdown, microseconds; after each time what binds."""
    names = [floor.stage for floor in stages(problems[0])]
    lines = [f"| B, K, D, type | {' | '.join(names)} | sum | two products | ratio |"]
    lines.append("|---" * (len(names) + 4) + "|")
    for problem in problems:
        kind = kind_of(problem)
        cells = [
            f"{in_us(f.seconds(kind))} {f.bound(kind)[0]}" if f.bytes else "–"
            for f in stages(problem)
        ]
        products = library_products(problem)
        ratio = total(problem) / products
        cells += [in_us(total(problem)), in_us(products), f"{ratio:.2f}"]
        lines.append(f"| {problem.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    from problems import FULL

    print(table(FULL))
