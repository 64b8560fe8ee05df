"""Evaluation on retrievals that nobody thought of: the places of the protocol, to the last one."""

from unittest import mock

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from drsl_cuda._retrieval.tiles import Tiles
from fuzz_kit import fuzz
from layouts import LAYOUTS
from test_metrics import check
from tolerances import BF16, F16, F32, F64

# Exact in float64: sums of squares of differences of numbers on a grid, so that ties are ties whatever
# adds them up. The protocol orders by distances of double precision; others than these it cannot order.
KINDS = {
    "few": lambda rng, n, dim: rng.integers(-1, 2, (n, dim)),
    "grid": lambda rng, n, dim: rng.integers(-9, 10, (n, dim)),
    "copies": lambda rng, n, dim: rng.integers(-99, 99, (3, dim))[rng.integers(0, 3, n)],
    "near": lambda rng, n, dim: 1000 + rng.integers(0, 2, (n, dim)),
    "zero": lambda rng, n, dim: np.zeros((n, dim)),
}
OFFSETS = {F64: (0, 0, 2**20), F32: (0, 0, 2**14), F16: (0, 0), BF16: (0, 0)}


@st.composite
def retrievals(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = draw(st.sampled_from([F64, F32, F32, F16, BF16]))
    queries, entries = draw(st.integers(0, 12)), draw(st.integers(0, 60))
    dim = draw(st.sampled_from([1, 2, 3, 8, 40]))
    kind, offset = draw(st.sampled_from(list(KINDS))), draw(st.sampled_from(OFFSETS[dtype]))
    scale = 2.0 ** draw(st.sampled_from([0, 0, -8, 8] if dtype == F16 else [0, 0, -60, 60]))
    if dtype == BF16 and kind == "near":  # eight digits: 1000 and 1001 would be one number
        kind = "few"

    def rows(count):
        made = (KINDS[kind](rng, count, dim) + offset) * (
            scale if dtype != F16 else min(scale, 1.0)
        )
        return LAYOUTS[draw(st.sampled_from(list(LAYOUTS)))](
            torch.as_tensor(made, dtype=F64).to(dtype)
        )

    identities, cameras = draw(st.integers(1, 6)), draw(st.sampled_from([None, 1, 2, 4]))

    def numbers(low, high, count):
        width = draw(st.sampled_from([torch.int64, torch.int32, torch.int8]))
        return torch.as_tensor(rng.integers(low, high, count)).to(width)

    return {
        "query": rows(queries),
        "gallery": rows(entries),
        "query_ids": numbers(-1, identities, queries),
        "gallery_ids": numbers(-1, identities, entries),
        "query_cams": None if cameras is None else numbers(0, cameras, queries),
        "gallery_cams": None if cameras is None else numbers(0, cameras, entries),
    }


@fuzz(400)
@given(
    retrievals(),
    st.sampled_from(["native", "native", "reference"]),
    st.sets(st.integers(-1, 3)),
    st.sets(st.integers(-1, 3)),
    st.integers(1, 70),
    st.sampled_from([(512, 2048), (512, 2048), (3, 1), (2, 7), (512, 31)]),
)
def test_places_are_those_of_the_protocol(problem, backend, junk, distractors, max_rank, tile):
    before = [None if t is None else t.clone() for t in problem.values()]
    with mock.patch.object(Tiles, "shape", lambda _: tile):
        check(problem, backend, junk_ids=junk, distractor_ids=distractors, max_rank=max_rank)
    for tensor, was in zip(problem.values(), before, strict=True):
        assert tensor is None or torch.equal(tensor, was)
