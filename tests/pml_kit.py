"""What the tests of the calls of other libraries share. Needs pytorch-metric-learning."""

import pytest
import torch

from by_hand import anchors_of, per_anchor
from drsl_cuda import functional
from drsl_cuda.integrations import pml
from tolerances import CONTRACT, F16, F32, F64, UNDERFLOW, assert_close

CLASSES = {
    "drsl": pml.DRSLLoss,
    "fidi": pml.FIDILoss,
    "smooth_ap": pml.SmoothAPLoss,
    "batch_hard_triplet": pml.BatchHardTripletLoss,
}
EVERY = pytest.mark.parametrize("name", CLASSES)
DTYPES = pytest.mark.parametrize("dtype", [F16, F32, F64], ids=str)


def function(name):
    return getattr(functional, f"{name}_loss")


def batch(size=20, classes=5, dim=12, *, seed=0, dtype=F64, grad=True):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (size,), generator=generator)
    centres = torch.randn(classes, dim, generator=torch.Generator().manual_seed(99), dtype=F64)
    rows = 0.4 * centres[labels] + torch.randn(size, dim, generator=generator, dtype=F64)
    return rows.to(torch.bfloat16).to(dtype).requires_grad_(grad), labels


def mean_by_hand(name, x, r, pairs, **options):
    losses = per_anchor(name, x, r, anchors_of(pairs, len(x)), **options)
    return sum(losses.values()) / len(losses)


def compare(name, loss, wanted, leaves, dtype):
    """Values, and gradients of the leaves."""
    assert loss.dtype == (F64 if dtype == F64 else F32)
    # ‖…‖ of a loss by cosines at temperature 0.01 has a hundred times the error of a cosine.
    slack = 10 if name == "smooth_ap" and dtype != F64 else 1
    assert_close(loss, wanted, CONTRACT[dtype].loss * slack, what="loss")
    got = torch.autograd.grad(loss, leaves)
    right = torch.autograd.grad(wanted, leaves)
    for mine, theirs in zip(got, right, strict=True):
        assert mine.dtype == dtype
        assert mine.abs().sum() > 0
        assert_close(
            mine, theirs, CONTRACT[dtype].grad * slack, floor=UNDERFLOW[dtype], what="gradient"
        )
