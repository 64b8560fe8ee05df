"""Losses on scores: torch.compile, and PyTorch's own checks of the operators."""

import pytest
import torch

from cases_scores import LOSSES, problem, run
from tolerances import F32, F64, SAME, assert_close

LOSS = pytest.mark.parametrize("loss", LOSSES)
COMPILERS = ["eager", "aot_eager", pytest.param("inductor", marks=pytest.mark.slow)]


@pytest.fixture
def fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize("sets", [False, True], ids=["plain", "sets"])
@pytest.mark.parametrize("dtype", [F64, F32], ids=str)
@pytest.mark.parametrize("grad", [False, True])
def test_opcheck(grad, dtype, sets, device):
    scores, targets, regression = problem(30, 6, dtype=dtype, device=device)
    if sets:
        scores, targets = torch.stack([scores, -scores]), torch.stack([targets, targets])
        regression = torch.rand_like(scores)
    scores.requires_grad_(grad)
    # A gradient is an output, and refuses to be differentiated, which the last check would try.
    checks = ["test_schema", "test_autograd_registration", "test_faketensor"]
    checks += [] if grad else ["test_aot_dispatch_dynamic"]
    ops = torch.ops.drsl
    for op, arguments in (
        (ops.rank_sort_loss, (0.5, grad, grad)),
        (ops.rank_sort_loss, (0.5, grad, False)) if not grad else (ops.ap_loss, (0.5, False, True)),
        (ops.ap_loss, (1.0, True, grad)),
        (ops.alrp_loss, (regression, 1.0, grad)),
    ):
        torch.library.opcheck(op.default, (scores, targets, *arguments), test_utils=checks)


@pytest.mark.parametrize("compiler", COMPILERS)
@LOSS
def test_a_compiled_step_is_the_step(loss, compiler, device, fresh_compiler):
    def step(scores, targets, regression):
        results = run(loss, scores * 1.5, targets, regression, 0.5, "auto")
        losses = [r for r in results if r.is_floating_point() and r.dim() == 0]
        return sum(w * part for w, part in zip((1.0, 0.25), losses, strict=False)), results[-1]

    compiled = torch.compile(step, fullgraph=True, dynamic=True, backend=compiler)
    for entries, positives in ((60, 8), (90, 13)):
        given = problem(entries, positives, dtype=F32, device=device)
        outcome = []
        for function in (step, compiled):
            leaf = given[0].clone().requires_grad_()
            loss_, last = function(leaf, *given[1:])
            loss_.backward()
            outcome.append((loss_, last, leaf.grad))
        for eager, traced in zip(*outcome, strict=True):
            assert_close(traced, eager, SAME[F32].grad)
