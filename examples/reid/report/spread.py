"""Means over seeds, their spread, and whether two losses differ by more than chance."""

import math
from dataclasses import dataclass

# Two-sided 95 % points of Student's t, for 1, 2, ... degrees of freedom.
T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


def mean(values):
    values = list(values)
    return sum(values) / len(values) if values else math.nan


def spread(values):
    """Standard deviation of a sample; NaN of a single value, which has none."""
    values = list(values)
    if len(values) < 2:
        return math.nan
    middle = mean(values)
    return math.sqrt(sum((value - middle) ** 2 for value in values) / (len(values) - 1))


@dataclass(frozen=True)
class Difference:
    """a − b over the seeds that both have: same seed, same first weights, same batches."""

    mean: float
    half: float  # half the width of its 95 % interval; NaN of a single seed
    wins: int  # seeds in which a is ahead
    seeds: int

    @property
    def clear(self):
        """The interval leaves out 0. False where one seed cannot tell."""
        return self.half < abs(self.mean)


def difference(a, b):
    """`a`, `b`: {seed: value}."""
    parts = [a[seed] - b[seed] for seed in a if seed in b]
    if not parts:
        return None
    t = T95[min(len(parts) - 1, len(T95)) - 1] if len(parts) > 1 else math.nan
    half = t * spread(parts) / math.sqrt(len(parts))
    return Difference(mean(parts), half, sum(part > 0 for part in parts), len(parts))
