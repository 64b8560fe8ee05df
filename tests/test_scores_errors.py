"""Bad arguments of the losses on scores: the exception, and a message that names what is wrong."""

import pytest
import torch

import drsl_cuda
from drsl_cuda import functional, reference
from test_errors import assert_says

N = 6


def good():
    targets = torch.tensor([1.0, 0, 0.5, -1, 0, 0])
    return {"scores": torch.randn(N), "targets": targets, "regression_losses": torch.rand(2)}


BAD = {
    "list": ({"scores": [0.5]}, TypeError, ["scores", "tensor", "list"]),
    "integers": ({"scores": torch.ones(N, dtype=torch.int64)}, TypeError, ["scores", "float32", "int64"]),
    "sparse": ({"scores": torch.eye(2).to_sparse()}, TypeError, ["scores", "dense", "sparse"]),
    "no_axis": ({"scores": torch.tensor(1.0)}, ValueError, ["scores", "[N]", "[]"]),
    "three_axes": ({"scores": torch.zeros(1, 2, 3)}, ValueError, ["scores", "[S, N]", "[1, 2, 3]"]),
    "targets_list": ({"targets": [0] * N}, TypeError, ["targets", "tensor", "list"]),
    "targets_complex": (
        {"targets": torch.zeros(N, dtype=torch.complex64)}, TypeError, ["targets", "real", "complex64"],
    ),
    "targets_short": ({"targets": torch.zeros(N - 1)}, ValueError, ["targets", "[6]", "[5]"]),
    "targets_2d": ({"targets": torch.zeros(1, N)}, ValueError, ["targets", "[6]", "[1, 6]"]),
    "targets_meta": (
        {"targets": torch.zeros(N, device="meta")}, ValueError, ["targets", "scores", "cpu", "meta"],
    ),
}  # fmt: skip

BAD_REGRESSION = {
    "list": ([0.5, 0.5], TypeError, ["regression_losses", "tensor", "list"]),
    "integers": (torch.ones(2, dtype=torch.int32), TypeError, ["regression_losses", "int32"]),
    "long": (torch.ones(3), ValueError, ["regression_losses", "[2]", "[3]"]),
    "all": (torch.ones(N), ValueError, ["regression_losses", "[2]", "[6]"]),
    "2d": (torch.ones(1, 2), ValueError, ["regression_losses", "[n]", "[1, 2]"]),
    "meta": (torch.ones(2, device="meta"), ValueError, ["regression_losses", "cpu", "meta"]),
}

BAD_SETTINGS = {
    "delta_negative": ({"delta": -1.0}, ValueError, ["delta", ">= 0", "-1"]),
    "delta_nan": ({"delta": float("nan")}, ValueError, ["delta", "finite", "nan"]),
    "delta_text": ({"delta": "1"}, TypeError, ["delta", "number", "str"]),
    "delta_flag": ({"delta": True}, TypeError, ["delta", "number", "bool"]),
    "backend": ({"backend": "cuda"}, ValueError, ["backend", "'native'", "cuda"]),
}

CALLS = {
    "rank_sort": lambda g, **o: functional.rank_sort_loss(g["scores"], g["targets"], **o),
    "ap": lambda g, **o: functional.ap_loss(g["scores"], g["targets"], **o),
    "alrp": lambda g, **o: functional.alrp_loss(**g, **o),
    "reference_rank_sort": lambda g: reference.rank_sort_loss(g["scores"], g["targets"]),
    "reference_ap": lambda g: reference.ap_loss(g["scores"], g["targets"]),
    "reference_alrp": lambda g: reference.alrp_loss(**g),
    "RankSortLoss": lambda g: drsl_cuda.RankSortLoss()(g["scores"], g["targets"]),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("call", CALLS)
def test_a_bad_tensor_is_named(name, call):
    replaced, exception, words = BAD[name]
    with pytest.raises(exception) as info:
        CALLS[call](good() | replaced)
    assert_says(info, exception, words)


@pytest.mark.parametrize("name", BAD_REGRESSION)
@pytest.mark.parametrize("call", ["alrp", "reference_alrp"])
def test_bad_regression_losses_are_named(name, call):
    value, exception, words = BAD_REGRESSION[name]
    with pytest.raises(exception) as info:
        CALLS[call](good() | {"regression_losses": value})
    assert_says(info, exception, words)


@pytest.mark.parametrize("call", ["alrp", "reference_alrp"])
def test_with_sets_regression_losses_have_the_shape_of_scores(call):
    given = {
        "scores": torch.randn(2, N),
        "targets": torch.ones(2, N),
        "regression_losses": torch.ones(2),
    }
    with pytest.raises(ValueError) as info:
        CALLS[call](given)
    assert_says(info, ValueError, ["regression_losses", "[2, 6]", "[2]"])


@pytest.mark.parametrize("name", BAD_SETTINGS)
@pytest.mark.parametrize("call", ["rank_sort", "ap", "alrp"])
def test_a_bad_setting_is_named(name, call):
    options, exception, words = BAD_SETTINGS[name]
    with pytest.raises(exception) as info:
        CALLS[call](good(), **options)
    assert_says(info, exception, words)
    module = {
        "rank_sort": drsl_cuda.RankSortLoss,
        "ap": drsl_cuda.APLoss,
        "alrp": drsl_cuda.ALRPLoss,
    }
    with pytest.raises(exception) as info:
        module[call](**options)
    assert_says(info, exception, words)


@pytest.mark.parametrize(
    "call", [functional.ap_loss, reference.ap_loss, lambda *a, **o: drsl_cuda.APLoss(**o)]
)
def test_interpolated_is_a_flag(call):
    with pytest.raises(TypeError) as info:
        call(torch.randn(N), torch.zeros(N), interpolated=1)
    assert_says(info, TypeError, ["interpolated", "True or False", "int"])


def test_operators_called_directly_do_not_read_out_of_bounds():
    scores, targets = torch.randn(4), torch.ones(4)
    ops = torch.ops.drsl
    for call in (
        lambda: ops.rank_sort_loss(scores, targets[:3], 0.5, True, False),
        lambda: ops.rank_sort_loss(scores.double(), targets, 0.5, True, False),
        lambda: ops.rank_sort_loss(scores, targets, -1.0, True, False),
        lambda: ops.ap_loss(scores.half(), targets.half(), 0.5, True, True),
        lambda: ops.ap_loss(scores.view(1, 2, 2), targets.view(1, 2, 2), 0.5, True, True),
        lambda: ops.alrp_loss(scores, targets, torch.ones(3), 0.5, True),
        lambda: ops.alrp_loss(scores, targets, torch.ones(1, 4), 0.5, True),
    ):
        with pytest.raises(RuntimeError, match="drsl:"):
            call()
