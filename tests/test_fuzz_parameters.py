"""Parameters at the ends of what is allowed, with rows of any type: no NaN from finite things."""

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from drsl_cuda import functional
from fuzz_kit import fuzz
from tolerances import F16, F32, F64

SIZES = st.sampled_from([1e-300, 1e-45, 1e-38, 1e-7, 1.0, 1e7, 1e38, 1e300])
# a gradient goes with 1/τ and 1/|x|: colder than that it would not be a number
WARMTHS = st.sampled_from([1e-15, 1e-7, 1.0, 1e7, 1e38, 1e300])
WEIGHTS = st.sampled_from([0.0, -1.0, 1.0, 1e-300, 1e30])
PARAMETERS = {
    "drsl": st.fixed_dictionaries(
        {
            "delta": st.one_of(st.just(0.0), SIZES),
            "rank_weight": WEIGHTS,
            "sort_weight": WEIGHTS,
            "angle_weight": WEIGHTS,
        }
    ),
    "fidi": st.fixed_dictionaries(
        {"alpha": SIZES.map(lambda size: 1 + max(size, 2.0**-52)), "beta": SIZES}
    ),
    "smooth_ap": st.fixed_dictionaries({"temperature": WARMTHS, "include_self": st.booleans()}),
    "batch_hard_triplet": st.fixed_dictionaries(
        {"margin": st.sampled_from([None, 0.0, 1e-300, 1e-45, 1.0, 1e37])}
    ),
}


@fuzz(200)
@pytest.mark.parametrize("backend", ["native", "reference"])
@given(
    st.sampled_from(list(PARAMETERS)).flatmap(
        lambda name: st.tuples(st.just(name), PARAMETERS[name])
    ),
    st.sampled_from([F64, F32, F16]),
    st.sampled_from([1e-20, 1.0, 1e3]),
    st.integers(0, 100),
)
def test_no_parameter_makes_nan_of_finite_rows(backend, loss, dtype, scale, seed):
    name, options = loss
    # a gradient of β times a step, among rows that are as short: not a number of float32
    assume(options.get("beta", 0.0) < 1e15 or scale >= 1)
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(12, 3, generator=generator, dtype=F64)
    rows[5] = rows[2]
    x = (rows * scale).to(dtype).requires_grad_()
    value = getattr(functional, f"{name}_loss")(x, torch.arange(12) % 4, backend=backend, **options)
    value.backward()
    assert not value.isnan() and not x.grad.isnan().any()
