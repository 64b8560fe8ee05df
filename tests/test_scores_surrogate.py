"""Losses on scores have no derivative of their own; what they give is that of a frozen surrogate:

    (1/n) sum_i sum_j C_ij (s_j - s_i)          C_ij: what j is charged with of the error of positive i

With C held at the point of evaluation (oracle_scores.py), gradcheck applies.
"""

import pytest
import torch

import oracle_scores
from drsl_cuda import functional
from tolerances import F64


def rank_sort_total(scores, targets, _, **options):
    return sum(functional.rank_sort_loss(scores, targets, **options))


def ap(scores, targets, _, **options):
    return functional.ap_loss(scores, targets, **options)


def alrp(scores, targets, regression_losses, **options):
    return functional.alrp_loss(scores, targets, regression_losses, **options)[0]


LOSSES = {
    "rank_sort": (rank_sort_total, lambda s, t, _, **o: oracle_scores.rank_sort(s, t, **o)),
    "ap": (ap, lambda s, t, _, **o: oracle_scores.ap(s, t, **o)),
    "alrp": (alrp, oracle_scores.alrp),
}


class Frozen(torch.autograd.Function):
    """The surrogate as a function, the loss's gradient as its derivative."""

    @staticmethod
    def forward(ctx, scores, charges, positives, gradient):
        ctx.save_for_backward(gradient)
        return (charges * (scores[None, :] - scores[positives, None])).sum() / len(positives)

    @staticmethod
    def backward(ctx, upstream):
        return upstream * ctx.saved_tensors[0], None, None, None


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("delta", [0.5, 0.05, 0.0])
@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_is_that_of_the_frozen_surrogate(name, delta, backend, device):
    generator = torch.Generator().manual_seed(3)
    scores = torch.randn(40, generator=generator, dtype=F64)
    targets = torch.where(
        torch.arange(40) % 4 == 1, torch.rand(40, generator=generator, dtype=F64) * 0.8 + 0.1, 0.0
    )
    targets[7] = -1  # ignored
    regression_losses = torch.rand(int((targets > 0).sum()), generator=generator, dtype=F64)
    loss, oracle = LOSSES[name]
    leaf = scores.to(device).requires_grad_()
    given = targets.to(device), regression_losses.to(device)
    loss(leaf, *given, delta=delta, backend=backend).backward()
    row = oracle(scores.numpy(), targets.numpy(), regression_losses.numpy(), delta=delta)
    charges = torch.as_tensor(sum(row.shares))
    assert bool(charges.any())
    frozen = charges, (targets > 0).nonzero()[:, 0], leaf.grad.cpu()
    point = scores.clone().requires_grad_()
    # The surrogate is linear: differences are exact but for rounding.
    assert torch.autograd.gradcheck(Frozen.apply, (point, *frozen), eps=1e-4, atol=1e-9, rtol=1e-9)
