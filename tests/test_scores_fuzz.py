"""Losses on scores on rows that nobody thought of: any type, sets, layouts, scales, ties, NaN."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from cases_scores import INF, LOSSES, NAN, gradients, oracle, run
from fuzz_kit import fuzz
from tolerances import BF16, F16, F32, F64, UNDERFLOW, assert_close

# Few values, so that ties, equal targets and scores exactly at the edge of a ramp are common. All lie on
# bfloat16's grid, so that every type holds the same numbers.
COARSE = st.sampled_from([0.0, -0.0, 0.25, 0.5, 1.0, -1.0, 1.5, 3.0, -INF])
FINE = st.integers(-128, 128).map(lambda k: k / 16)
TARGETS = st.sampled_from([0.0, 0.0, 0.0, -1.0, 0.25, 0.5, 1.0, 2.0])
DELTA = st.sampled_from([0.0, 0.25, 0.5, 1.0, 3.0, 2.0**-10, 1e-12])
SCALES = {F64: (0, 0, -100, 100, -500), F32: (0, 0, -100, 100), BF16: (0, 0, -100, 100), F16: (0,)}
LAYOUTS = (
    lambda t: t,
    lambda t: torch.stack([t, t], -1)[..., 0],
    lambda t: torch.cat([t.new_zeros(t.shape[:-1] + (1,)), t], -1)[..., 1:],
    lambda t: t.mT.contiguous().mT if t.dim() == 2 else t,
)
# One rounding of a gradient to its type; a score loss in float32 is a sum of a few roundings.
OUTPUT = {F64: 0.0, F32: 0.0, F16: 2.0**-10, BF16: 2.0**-7}


@st.composite
def rows(draw, size):
    scores = draw(st.lists(st.one_of(COARSE, FINE), min_size=size, max_size=size))
    targets = draw(st.lists(TARGETS, min_size=size, max_size=size))
    scores, targets = np.array(scores, float), np.array(targets, float)
    if draw(st.integers(0, 9)):  # mostly without what makes a whole row NaN
        scores[(targets > 0) & np.isinf(scores)] = 2.0
    if size and draw(st.integers(0, 9)) == 0:
        scores[draw(st.integers(0, size - 1))] = draw(st.sampled_from([NAN, INF]))
    return scores, targets


@st.composite
def problems(draw):
    """(scores, targets) [S, N] or [N], the width of steps, the type, the layout."""
    size, dtype = draw(st.integers(0, 24)), draw(st.sampled_from([F64, F32, F16, BF16]))
    sets = draw(st.sampled_from([None, None, 1, 3]))
    scores, targets = map(np.stack, zip(*[draw(rows(size)) for _ in range(sets or 1)], strict=True))
    delta, exponent = draw(DELTA), draw(st.sampled_from(SCALES[dtype]))
    scores, delta = scores * 2.0**exponent, delta * 2.0**exponent
    return scores, targets, sets is not None, delta, dtype, draw(st.sampled_from(LAYOUTS))


@fuzz(600)
@given(problems(), st.sampled_from(LOSSES), st.sampled_from(["native", "native", "reference"]))
def test_any_row(problem, loss, backend):
    check(problem, loss, backend)


def check(problem, loss, backend):
    scores, targets, has_sets, delta, dtype, layout = problem
    regression = np.random.default_rng(0).integers(0, 9, scores.shape) / 4
    wanted = [
        oracle(loss, s, t, r[t > 0], delta)
        for s, t, r in zip(scores, targets, regression, strict=True)
    ]
    leaf, target = (torch.as_tensor(v if has_sets else v[0]) for v in (scores, targets))
    leaf, target = layout(leaf.to(dtype)).requires_grad_(), layout(target.to(dtype))
    given_regression = torch.as_tensor(regression if has_sets else regression[0][targets[0] > 0])
    before = leaf.detach().clone()
    results = run(loss, leaf, target, given_regression.to(dtype), delta, backend)
    assert torch.equal(leaf.detach().nan_to_num(), before.nan_to_num())
    close = 1e-9 if dtype == F64 else 2e-5
    for number, got in enumerate(results[: len(wanted[0].losses)]):
        value = np.array([one.losses[number] for one in wanted])
        assert_close(
            got, value if has_sets else value[0], close, floor=close, what=f"{backend} loss"
        )
    for number, got in enumerate(gradients(results, leaf)):
        value = np.array([one.gradients[number] for one in wanted])
        value = value if has_sets else value[0]
        floor = close + UNDERFLOW[dtype]
        assert_close(
            got, value, 10 * close + OUTPUT[dtype], floor=floor, what=f"{backend} gradient"
        )
    if loss == "alrp" and not has_sets:
        assert_close(results[1], wanted[0].rank, close, what="rank")
        assert results[2].tolist() == wanted[0].order.tolist()
