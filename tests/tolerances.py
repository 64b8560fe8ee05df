"""Every tolerance of the tests, with its reason. Relative to the norm of the expected value.

`norm` compares whole tensors: |got − wanted| ≤ tolerance · |wanted|, the error that an optimiser sees.
An elementwise comparison would fail on elements that are small by cancellation of large ones.
"""

from dataclasses import dataclass

import numpy as np
import torch

import oracle

F64, F32, F16, BF16 = torch.float64, torch.float32, torch.float16, torch.bfloat16


@dataclass(frozen=True)
class Tolerance:
    loss: float
    grad: float


CONTRACT = {
    # docs/losses.md is exact up to rounding; 1e-9 leaves float64 a factor 1e6 for sums of 10⁴ entries.
    F64: Tolerance(loss=1e-9, grad=1e-9),
    # Step functions amplify: an error of 1e-7 in d is 1e-7·d/2δ in H. 1e-5 and 1e-4 is what the
    # project promises at scales 1e-3…1e3.
    F32: Tolerance(loss=1e-5, grad=1e-4),
    # Accumulated in float32, so the loss keeps its promise; the gradient is rounded once to the input's
    # type: half a unit in the last place is 2^-11 relative (2^-8·½ = 2^-9 for bfloat16), doubled here.
    F16: Tolerance(loss=1e-5, grad=2**-10),
    BF16: Tolerance(loss=1e-5, grad=2**-8),
}

# Rows with a common offset. The contract allows 1e-5 of d, hence ±5e-5 of each H at d ≈ 5 and δ = 0.5,
# and 1e-3 of ∂d/∂x. float64 loses the 3–4 digits that the inputs' offset costs, squared in y: 1e-7.
NEAR = {F64: Tolerance(loss=1e-9, grad=1e-7), F32: Tolerance(loss=5e-5, grad=1e-3)}

# Smooth-AP divides cosines by τ = 0.01: their error of 1e-7 to 3e-7 in float32 is 3e-5 in z, which is the
# relative error of each σ(z) far from the step. Sums of a few make 1e-4 of the loss, 5e-4 of the gradient.
SMOOTH_AP = {
    F64: Tolerance(loss=1e-9, grad=1e-9),
    F32: Tolerance(loss=1e-4, grad=5e-4),
    F16: Tolerance(loss=1e-4, grad=2**-10 + 5e-4),
    BF16: Tolerance(loss=1e-4, grad=2**-8 + 5e-4),
}
# Near rows: ∂cos/∂x is a difference of parts 1e3 to 1e4 times its size.
SMOOTH_AP_NEAR = {F64: Tolerance(loss=1e-9, grad=1e-7), F32: Tolerance(loss=1e-4, grad=3e-3)}

# The smallest gradient element that float16 holds is 6e-8; below, half of it is lost. Elements of a
# `mean` gradient get that small, so it stands as an absolute error of each element. Others: nothing.
UNDERFLOW = {F64: 0.0, F32: 0.0, F16: 2.0**-25, BF16: 0.0}

# Sums that are exactly 0 in theory, as a share of the sum of magnitudes: a few roundings per entry.
ZERO_SUM = {F64: 1e-14, F32: 1e-5}

# Two ways to the same number within one type (sets or separate calls, a permuted batch, …): the order of
# additions differs, and products block differently, so each side may be off by the contract's error.
SAME = {F64: Tolerance(loss=1e-9, grad=1e-9), F32: Tolerance(loss=2e-5, grad=2e-4)}

# d of far pairs comes from a Gram product: sqrt(D) roundings of |x|², a few 1e-7 relative to |x|.
# d of near pairs, the contract: 1e-5. cos: rounding of dot product and norms, absolute.
DISTANCE = {F64: 1e-12, F32: 1e-5}
COSINE = {F64: 1e-13, F32: 2e-6}

# Central differences of the frozen surrogate in float64: step 1e-6, second-order error 1e-12 times the
# curvature of d and cos (≤ 1/d² ≈ 1), rounding 1e-16/1e-6 = 1e-10. PyTorch's defaults are looser.
GRADCHECK = dict(eps=1e-6, atol=1e-7, rtol=1e-5)


def accumulation(dtype):
    """The type in which the loss is computed and returned."""
    return F64 if dtype == F64 else F32


def accumulation_name(dtype):
    return "float64" if dtype == F64 else "float32"


def cosine_floor(coefficients, rows, share):
    """Absolute error of a gradient element through cos. ∂cos/∂x = (r̂ − cos x̂)/|x| is a difference of
    parts of size 1/|x|; between coincident or near rows it cancels, so its error is a `share` of the
    parts and not of the result. `share`: a few roundings, or the contract's error for near pairs."""
    lengths = oracle.norms(np.asarray(rows)).ravel()
    lengths = lengths[lengths > 0]
    totals = np.abs(coefficients).sum(-1)
    return share * totals.mean() / lengths.min() if lengths.size and totals.size else 0.0


ROUNDING = {F64: 4 * 2.0**-52, F32: 4 * 2.0**-23}


def of_case(name, dtype):
    return NEAR[dtype] if "near_" in name and dtype in NEAR else CONTRACT[dtype]


def assert_close(got, wanted, tolerance, *, floor=0.0, what="value"):
    """Norm-relative; NaN must stand in the same places. `floor`: absolute error of each element."""
    got = torch.as_tensor(got).detach().double().cpu()
    wanted = torch.as_tensor(wanted).detach().double().cpu()
    assert got.shape == wanted.shape, (
        f"{what}: shape {tuple(got.shape)}, wanted {tuple(wanted.shape)}"
    )
    finite = ~wanted.isnan()
    assert torch.equal(~got.isnan(), finite), f"{what}: NaN in other places than wanted"
    got, wanted = got[finite], wanted[finite]
    assert got.isfinite().all(), f"{what}: infinite"
    scale = wanted.abs().max().item() if wanted.numel() else 0.0
    scale = scale or 1.0  # so that squares of 1e150 do not overflow in the norm
    error = ((got - wanted) / scale).norm().item()
    allowed = tolerance * (wanted / scale).norm().item() + floor / scale * got.numel() ** 0.5
    assert error <= allowed, f"{what}: error {error:.3e}, allowed {allowed:.3e} (of {scale:.3e})"
