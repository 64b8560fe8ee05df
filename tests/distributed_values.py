"""Ranks and what rows may hold: types, labels, equal rows, NaN, scales."""

import torch

from distributed_kit import check
from distributed_table import BOTH, FOUR, MODES, UNEVEN, Layout, batch, shared, split, whole
from drsl_cuda import BatchHardTripletLoss, DRSLLoss, SmoothAPLoss
from tolerances import BF16, CONTRACT, F16, F32, F64, assert_close


@check(2, *[f"{case}-{t}" for case in BOTH for t in ("bfloat16", "float16")])
def half_precision_is_computed_in_float32(world, case):
    name, mode, dtype = case.split("-")
    dtype = {"bfloat16": BF16, "float16": F16}[dtype]
    x, labels = batch(Layout((9, 14)))
    value, gradient = shared(world, FOUR[name], x.to(dtype), labels, (9, 14), mode=mode)
    wanted, of_all = whole(FOUR[name], x.to(dtype).double(), labels)
    assert value.dtype == F32 and gradient.dtype == dtype
    assert_close(value, wanted, 2e-5)
    mine = world.mine(of_all, (9, 14))
    assert_close(gradient.double() / 2, mine, CONTRACT[dtype].grad)
    with torch.autocast("cpu", BF16):
        again, same = shared(world, FOUR[name], x.to(dtype), labels, (9, 14), mode=mode)
    assert torch.equal(again, value) and torch.equal(same, gradient)


@check(2, *MODES)
def a_loss_scale_meets_the_gradient_before_it_is_rounded(world, mode):
    # 2^-30 alone would leave nothing in float16; what follows the loss brings it back.
    weights = {f"{part}_weight": 2.0**-30 for part in ("rank", "sort", "angle")}
    x, labels = batch(Layout((9, 14)))
    _, gradient = shared(world, DRSLLoss(**weights), x.to(F16), labels, (9, 14), 2.0**30, mode=mode)
    _, of_all = whole(DRSLLoss(), x.to(F16).double(), labels)
    assert_close(gradient.double() / 2, world.mine(of_all, (9, 14)), CONTRACT[F16].grad)


@check(2, *MODES)
def autocast_leaves_float32_alone(world, mode):
    x, labels = batch(Layout((9, 14)), F32)
    wanted = shared(world, DRSLLoss(normalize=True), x, labels, (9, 14), mode=mode)
    with torch.autocast("cpu", BF16):
        got = shared(world, DRSLLoss(normalize=True), x, labels, (9, 14), mode=mode)
    assert torch.equal(got[0], wanted[0]) and torch.equal(got[1], wanted[1])


@check(2, torch.uint8, torch.int16, torch.int32, torch.uint64)
def labels_of_any_integer_type(world, dtype):
    x, labels = batch(Layout((5, 8)))
    wanted, _ = whole(DRSLLoss(), x, labels)
    large = labels if dtype != torch.uint64 else labels - 2**60
    for mode in MODES:
        value, _ = shared(world, DRSLLoss(), x, large.to(dtype), (5, 8), mode=mode)
        assert_close(value, wanted, 1e-12)


@check(3, *BOTH)
def equal_rows_on_different_ranks_tie(world, case):
    loss, mode = split(case)
    x, labels = batch(UNEVEN)
    for k in range(1, 6):  # a positive's and a stranger's copy of a row, each on another rank
        x[3 + k], x[15 + k] = x[0], x[1 + k % 2]
    labels[3:7], labels[0] = 1, 1
    value, gradient = shared(world, loss, x, labels, UNEVEN.sizes, mode=mode)
    wanted, of_all = whole(loss, x, labels)
    assert_close(value, wanted, 1e-12)
    assert_close(gradient / 3, world.mine(of_all, UNEVEN.sizes), 1e-10)


@check(3, *[f"{case}-{v}" for case in BOTH for v in ("nan", "inf", "seen", "stranger")])
def nan_is_where_one_process_has_it(world, case):
    name, mode, value = case.split("-")
    # "seen": rank 1 has queries that do not count, but those of the other ranks compare with them.
    x, labels = batch(Layout((3, 12, 9), "lonely" if value == "seen" else "spread"))
    x[20 if value == "seen" else 5, 2] = float("inf") if value == "inf" else float("nan")
    if value == "stranger":
        labels[:] = torch.arange(24)  # nobody counts, except for FIDI
    loss, gradient = shared(world, FOUR[name], x, labels, (3, 12, 9), mode=mode)
    wanted, of_all = whole(FOUR[name], x, labels)
    assert loss.isnan() == wanted.isnan() == (value != "stranger" or name == "fidi")
    assert_close(gradient / 3, world.mine(of_all, (3, 12, 9)), 1e-12)


@check(2, *MODES)
def zero_rows_and_extreme_scales(world, mode):
    for dtype, scale in ((F64, 1.0), (F64, 2.0**300), (F32, 2.0**90), (F32, 2.0**-90)):
        x, labels = batch(Layout((9, 9)), dtype)
        x[4] = x[12] = 0
        for loss in (DRSLLoss(normalize=True), SmoothAPLoss(0.1), BatchHardTripletLoss(None)):
            value, gradient = shared(world, loss, x * scale, labels, (9, 9), mode=mode)
            wanted, of_all = whole(loss, x * scale, labels)
            assert_close(value, wanted, CONTRACT[dtype].loss)
            assert_close(gradient / 2, world.mine(of_all, (9, 9)), CONTRACT[dtype].grad)
