"""The losses on embeddings beside DRSL, one row each: test_losses*.py run over all of them."""

from collections.abc import Callable
from dataclasses import dataclass, field

import drsl_cuda
import oracle_losses
from drsl_cuda import functional
from tolerances import BF16, CONTRACT, F16, F32, F64, NEAR, SMOOTH_AP, SMOOTH_AP_NEAR


@dataclass(frozen=True)
class Loss:
    function: Callable
    module: type
    oracle: Callable
    variants: dict  # name -> options, beside the default ones
    settings: dict  # every parameter, away from its default
    bad: dict  # parameter -> values that are refused
    tolerance: dict = field(default_factory=lambda: CONTRACT)
    near: dict = field(default_factory=lambda: NEAR)
    terms: tuple = ()
    jumps: tuple = ()  # cases whose result hangs on how a tie is rounded


HUGE = float("inf")
LOSSES = {
    "fidi": Loss(
        functional.fidi_loss, drsl_cuda.FIDILoss, oracle_losses.fidi,
        variants={"wide": {"alpha": 1.5, "beta": 0.1}, "beyond_2": {"alpha": 3.0, "beta": 2.0}},
        settings={"alpha": 1.3, "beta": 0.8},
        bad={"alpha": (1.0, 0.5, HUGE, "1", None, True), "beta": (0.0, -1.0, HUGE, None)},
        terms=("positive", "negative"),
    ),
    "smooth_ap": Loss(
        functional.smooth_ap_loss, drsl_cuda.SmoothAPLoss, oracle_losses.smooth_ap,
        variants={"warm": {"temperature": 0.1}, "self": {"include_self": True}},
        settings={"temperature": 0.2, "include_self": True},
        bad={"temperature": (0.0, -0.1, HUGE, None, True), "include_self": (1, None)},
        tolerance=SMOOTH_AP, near=SMOOTH_AP_NEAR,
        jumps=("dim_1",),  # every cosine is ±1: what is left of the gradient is rounding
    ),
    "batch_hard_triplet": Loss(
        functional.batch_hard_triplet_loss, drsl_cuda.BatchHardTripletLoss,
        oracle_losses.batch_hard_triplet,
        variants={"soft": {"margin": None}, "no_margin": {"margin": 0.0}, "wide": {"margin": 4.0}},
        settings={"margin": 1.5},
        bad={"margin": (-0.1, HUGE, "0.3", True)},
    ),
}  # fmt: skip

TYPES = {"float64": F64, "float32": F32, "float16": F16, "bfloat16": BF16}


def tolerance(loss, case, dtype):
    return loss.near[dtype] if "near_" in case and dtype in loss.near else loss.tolerance[dtype]


def variants():
    """(name of the loss, options) of every row and variant."""
    for name, loss in LOSSES.items():
        for options in ({}, *loss.variants.values()):
            yield name, options
