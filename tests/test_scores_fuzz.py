"""Losses on scores on rows that nobody thought of."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cases_scores import LOSSES, gradients, oracle, run
from tolerances import F32, F64, assert_close

# few values, so that ties, equal targets and scores exactly at the edge of a ramp are common
COARSE = st.sampled_from([0.0, -0.0, 0.25, 0.5, 1.0, -1.0, 1.5, 3.0, -float("inf")])
FINE = st.floats(-8, 8, width=16)
TARGETS = st.sampled_from([0.0, 0.0, 0.0, -1.0, 0.25, 0.5, 1.0, 2.0])
DELTA = st.sampled_from([0.0, 0.25, 0.5, 1.0, 3.0, 2.0**-10, 1e-12])


@st.composite
def rows(draw):
    size = draw(st.integers(0, 24))
    scores = draw(st.lists(st.one_of(COARSE, FINE), min_size=size, max_size=size))
    targets = draw(st.lists(TARGETS, min_size=size, max_size=size))
    scores, targets = np.array(scores, float), np.array(targets, float)
    if draw(st.integers(0, 9)):  # mostly without what makes a whole row NaN
        scores[(targets > 0) & np.isinf(scores)] = 2.0
    return scores, targets


@settings(max_examples=250, deadline=None, database=None)
@given(rows(), DELTA, st.sampled_from(LOSSES), st.sampled_from([F64, F32]))
def test_any_row(row, delta, loss, dtype):
    scores, targets = row
    regression = np.linspace(0, 1, int((targets > 0).sum()))
    # float16's numbers are float32's, but 2^-10 of them at a distance of 8 is not: ramps stay wide
    wanted = oracle(loss, scores, targets, regression, delta)
    for backend in ("native", "reference"):
        leaf = torch.as_tensor(scores).to(dtype).requires_grad_()
        rest = torch.as_tensor(targets).to(dtype), torch.as_tensor(regression).to(dtype)
        results = run(loss, leaf, *rest, delta, backend)
        close = 1e-9 if dtype == F64 else 2e-5
        for got, value in zip(results, wanted.losses, strict=False):
            assert_close(got, value, close, floor=close, what=f"{backend} loss")
        for got, value in zip(gradients(results, leaf), wanted.gradients, strict=True):
            assert_close(got, value, 10 * close, floor=close, what=f"{backend} gradient")
        if loss == "alrp":
            assert_close(results[1], wanted.rank, close, what="rank")
            assert results[2].tolist() == wanted.order.tolist()
