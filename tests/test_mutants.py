"""What mutants of the formulas have shown that no other test looks at (docs/reliability.md)."""

import math

import pytest
import torch

from drsl_cuda import functional, metrics
from tolerances import CONTRACT, F32, F64, assert_close

# (loss, parameters that are the least or the most that is taken, parameters just beyond)
BORDERS = [
    ("drsl", [0.0, 1.0, 1.0, 1.0], [-math.ulp(0.0), 1.0, 1.0, 1.0]),
    ("fidi", [1.0 + math.ulp(1.0), 0.5], [1.0, 0.5]),
    ("fidi", [1.5, math.ulp(0.0)], [1.5, 0.0]),
    ("smooth_ap", [math.ulp(0.0), 0.0], [0.0, 0.0]),
]
COUNTS = {"drsl": {4}, "fidi": {2}, "smooth_ap": {2}, "batch_hard_triplet": {0, 1}}


def call(loss, parameters):
    x, labels = torch.randn(6, 3, dtype=F64), torch.arange(6) % 3
    return torch.ops.drsl.rank_sort(
        torch.cdist(x, x),
        torch.ones(6, 6, dtype=F64),
        labels,
        labels,
        torch.arange(6),
        None,
        loss,
        parameters,
    )


@pytest.mark.parametrize("loss, taken, refused", BORDERS, ids=str)
def test_an_operator_takes_parameters_up_to_their_limit(loss, taken, refused):
    call(loss, taken)
    with pytest.raises(RuntimeError, match=loss):
        call(loss, refused)


@pytest.mark.parametrize("count", range(7))
@pytest.mark.parametrize("loss", COUNTS)
def test_an_operator_takes_so_many_parameters_and_no_others(loss, count):
    if count in COUNTS[loss]:
        call(loss, [2.0] * count)
    else:
        with pytest.raises(RuntimeError, match=loss):
            call(loss, [2.0] * count)


@pytest.mark.parametrize(
    "loss, parameters",
    [("smooth_ap", [0.1, 0.0]), ("smooth_ap", [0.1, 1.0]), ("batch_hard_triplet", [0.3])],
    ids=str,
)
def test_a_loss_without_parts_is_its_first_term(loss, parameters):
    losses, terms, _, _ = call(loss, parameters)
    assert losses.gt(0).any()
    assert torch.equal(terms[:, 0], losses)
    assert not terms[:, 1:].any()


@pytest.mark.parametrize("exponent", [-1000, -700, -400, 400, 700, 1000, 1022])
@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_evaluation_knows_no_scale(backend, exponent):
    # Powers of two: the same decisions, though squares of these numbers leave float64.
    generator = torch.Generator().manual_seed(0)
    query, gallery = (torch.randn(n, 5, generator=generator, dtype=F64) for n in (9, 40))
    ids = torch.arange(9) % 4 + 1, torch.arange(40) % 6 + 1
    cameras = torch.arange(9) % 2, torch.arange(40) % 3 + 2  # no query has its own camera here

    def evaluated(scale):
        return metrics.evaluate(
            query * scale, ids[0], cameras[0], gallery * scale, ids[1], cameras[1], backend=backend
        )

    plain, scaled = evaluated(1.0), evaluated(2.0**exponent)
    assert 0 < plain.mAP < 1
    assert plain.valid.all()
    assert torch.equal(scaled.ap, plain.ap)
    assert torch.equal(scaled.first_match, plain.first_match)


@pytest.mark.parametrize("positives", [5, 128, 140])
def test_a_step_wider_than_the_type_takes_half_of_everything(positives, device):
    # δ = ∞ in float32: H = ½ for every pair, so all that counts is how many there are.
    labels = (torch.arange(positives + 21, device=device) >= positives).long()
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(len(labels), 6, generator=generator).to(device)
    loss = functional.drsl_loss(
        x, labels, delta=1e39, sort_weight=0.0, angle_weight=0.0, reduction="none"
    )
    own = torch.where(labels == 0, positives, 21) - 1.0  # positives of each query
    others = len(labels) - 1 - own
    wanted = 0.5 * others / (1 + 0.5 * (own - 1) + 0.5 * others)
    assert_close(loss, wanted, CONTRACT[F32].loss)
