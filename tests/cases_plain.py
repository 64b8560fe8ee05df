"""Cases without gallery or masks: batch shapes, sizes, scales, settings of the loss."""

import numpy as np
import torch

from case_kit import DOUBLE, F32, WIDE, Case, case, clusters, drawn, labelled, on_grid, pk_labels

# ------------------------------------------------------------------------ batch composition

labelled("pk_8x4", pk_labels(8, 4), 64, seed=1)
labelled("pk_sorted", torch.arange(24) // 4, 32, seed=2)
labelled("pairs_K2", pk_labels(16, 2), 17, seed=3)
labelled("wide_K16", pk_labels(3, 16), 32, seed=4)
labelled("uneven", torch.tensor([0] * 9 + [1] * 4 + [2] * 2 + [3] + [4] * 5), 16, seed=5)
labelled("one_with_partners", torch.tensor([0, 1, 2, 3, 0, 4, 5]), 16, seed=6)
labelled("one_class", torch.zeros(9, dtype=torch.int64), 16, seed=7)
labelled("no_positives", torch.arange(11), 16, seed=8)
labelled("single_sample", torch.tensor([3]), 8, seed=9)
labelled("two_alike", torch.tensor([3, 3]), 8, seed=10)
labelled("two_apart", torch.tensor([3, 4]), 8, seed=11)
labelled("separated", pk_labels(6, 4), 32, seed=12, centre=16.0)


@case("empty_batch")
def empty_batch():
    return Case(torch.zeros(0, 8, dtype=torch.float64), torch.zeros(0, dtype=torch.int64))


# ------------------------------------------------- sizes: around tiles and tails of vectors

for size in (1, 2, 15, 16, 17, 31, 33, 63, 65, 127, 129, 130, 257):
    labelled(f"size_{size}", torch.arange(size) % (size // 4 + 1), 8, seed=100 + size)

for dim in (3, 17, 64, 100):
    labelled(f"dim_{dim}", pk_labels(6, 4), dim, seed=400 + dim)

# In one dimension every cosine is ±1: all y tie but for rounding, so the sort term is left out.
labelled(
    "dim_1", pk_labels(6, 4), 1, seed=401, gap=0.0, near_ties=True, options={"sort_weight": 0.0}
)

# Many positives: some implementations change algorithm. Their y are too many to keep apart in float32.
labelled(
    "many_positives", torch.tensor([0] * 140 + [1, 2, 3] * 7), 5, seed=500, dtypes=DOUBLE, gap=1e-12
)
labelled("positives_33", torch.tensor([0] * 34 + [1] * 30), 3, seed=501, dtypes=DOUBLE, gap=1e-12)
labelled("positives_65", torch.tensor([0] * 66 + [1] * 9), 3, seed=502, dtypes=DOUBLE, gap=1e-12)

# ----------------------------------------------------------------------------- settings

for delta in (0.0, 0.05, 5.0, 1e-6):
    labelled(f"delta_{delta}", pk_labels(6, 4), 16, seed=600, options={"delta": delta})
labelled("many_positives_delta_0", torch.tensor([0] * 132 + [1] * 9), 5, seed=601, dtypes=DOUBLE,
         gap=1e-12, options={"delta": 0.0})  # fmt: skip

for label, weights in {
    "rank": (1.0, 0.0, 0.0),
    "sort": (0.0, 1.0, 0.0),
    "angle": (0.0, 0.0, 1.0),
    "mixed": (0.3, 2.0, 0.7),
    "nothing": (0.0, 0.0, 0.0),
}.items():
    rank, sort, angle = weights
    options = {"rank_weight": rank, "sort_weight": sort, "angle_weight": angle}
    labelled(f"weights_{label}", pk_labels(6, 5), 16, seed=610, options=options)

labelled("normalize", pk_labels(6, 5), 16, seed=620, options={"normalize": True})
labelled(
    "normalize_delta", pk_labels(6, 5), 16, seed=621, options={"normalize": True, "delta": 0.02}
)

# ------------------------------------------------------- scale (powers of two keep the grid)

for exponent in (-10, -4, 4, 10):
    labelled(f"scale_2^{exponent}", pk_labels(6, 4), 16, seed=700, dtypes=WIDE, scale=2.0**exponent)
# Squares leave float32 (2^±128) at the outer two, float64 (2^±1024) in the last two.
for exponent, dtypes in {60: WIDE, -50: WIDE, 100: WIDE, 600: DOUBLE, -500: DOUBLE}.items():
    labelled(
        f"extreme_2^{exponent}", pk_labels(6, 4), 16, seed=700, dtypes=dtypes, scale=2.0**exponent
    )


@case("rows_of_many_scales", WIDE)
def rows_of_many_scales():
    """One batch whose rows differ by 2^24 in length: no common scale serves them all."""

    def draw(rng):
        scale = 2.0 ** torch.as_tensor(rng.integers(-12, 13, 24), dtype=torch.float64)
        return Case(clusters(rng, pk_labels(6, 4), 16) * scale[:, None], pk_labels(6, 4))

    return drawn(draw, 710)


@case("outlier", WIDE)
def outlier():
    """A stranger a million times farther out than the rest, who must keep their precision."""

    def draw(rng):
        x, labels = clusters(rng, pk_labels(6, 4), 16), pk_labels(6, 4)
        x[5] *= 2.0**20
        labels[5] = 99
        return Case(x, labels)

    return drawn(draw, 711)


# --------------------------------- near pairs: a common offset, distances cancel in x² + r² − 2xr

for name, offset in {"near_1e-3": 1024.0, "near_1e-4": 8192.0}.items():
    # y are within 1e-6 of each other, which float32 cannot order: the sort term is left out.
    labelled(name, pk_labels(6, 4), 16, seed=800, dtypes=WIDE, gap=0.0, offset=offset,
             near_ties=True, options={"sort_weight": 0.0})  # fmt: skip
labelled("near_sorted", pk_labels(6, 4), 16, seed=801, dtypes=DOUBLE, gap=1e-12, offset=1024.0)


@case("near_pairs_among_far", WIDE)
def near_pairs_among_far():
    """Two identities in each of three places: within a place d/|x| is about 1e-3, between places 1."""
    rng = np.random.default_rng(802)
    labels = pk_labels(6, 4)
    places = 8.0 * rng.standard_normal((3, 16))
    x = on_grid(places[labels % 3] + 0.01 * rng.standard_normal((24, 16)), F32)
    return Case(x, labels, near_ties=True, options={"sort_weight": 0.0, "delta": 0.02})
