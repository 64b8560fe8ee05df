"""FIDI, Smooth-AP and the batch-hard triplet on all named cases, against the oracle."""

from functools import cache

import numpy as np
import pytest
import torch

from cases import build, names
from losses_table import LOSSES, TYPES, tolerance, variants
from running import arguments
from tolerances import (
    F32,
    F64,
    ROUNDING,
    UNDERFLOW,
    accumulation,
    accumulation_name,
    assert_close,
    cosine_floor,
)

BACKENDS = pytest.mark.parametrize("backend", ["native", "reference"])
# What a case asks of DRSL beside its rows has no meaning here, so its twins are left out.
TWINS = ("delta_", "weights_", "_delta")
CASES = [n for n in names() if not any(twin in n for twin in TWINS)]
EVERY_CASE = [
    (loss, name, label)
    for loss, row in LOSSES.items()
    for label, dtype in TYPES.items()
    for name in names(dtype=dtype)
    if name in CASES and name not in row.jumps
]
AWKWARD = ("pk_8x4", "uneven", "gallery", "bank_excluded", "bank_partly_known", "sets_masks", "no_positives",
           "normalize", "excluded_rows", "empty_batch", "queries_empty", "gallery_empty", "zero_rows",
           "one_class", "excluded_all", "duplicates", "gallery_strangers")  # fmt: skip


@cache
def wanted_of(loss, options, name, accumulation):
    c = build(name)

    def plain(tensor):
        return None if tensor is None else tensor.numpy()

    return LOSSES[loss].oracle(
        c.x.numpy(), plain(c.labels), plain(c.gallery), plain(c.gallery_labels),
        self_index=plain(c.self_index), exclude=plain(c.exclude), accumulation=accumulation,
        normalize=c.options.get("normalize", False), **dict(options),
    )  # fmt: skip


def check(loss, options, name, dtype, *, backend, device, reduction="mean"):
    c, row = build(name), LOSSES[loss]
    wanted = wanted_of(loss, tuple(options.items()), name, accumulation_name(dtype))
    allowed = tolerance(row, name, dtype)
    positional, keyword = arguments(c, dtype, device)
    keyword = {k: keyword[k] for k in ("self_index", "exclude", "normalize") if k in keyword}
    result = row.function(
        *positional, **keyword, **options, reduction=reduction, backend=backend,
        return_terms=bool(row.terms),
    )  # fmt: skip
    value, terms = result if row.terms else (result, ())
    weights = np.ones(wanted.loss.shape)
    if reduction == "none":
        weights = np.random.default_rng(0).uniform(-1, 2, wanted.loss.shape)
        value.backward(torch.as_tensor(weights).to(value))
    else:
        value.backward()
    assert value.dtype == accumulation(dtype)
    least = torch.finfo(accumulation(dtype)).tiny  # what is smaller than that may round to 0
    assert_close(value, wanted.reduced(reduction), allowed.loss, floor=least, what="loss")
    assert tuple(getattr(terms, "_fields", ())) == row.terms
    whole = np.abs(wanted.reduced(reduction)).max(initial=0.0) if row.terms else 0.0
    for got, part in zip(terms, wanted.reduced_terms(reduction), strict=False):
        assert not got.requires_grad
        assert_close(got, part, allowed.loss, floor=allowed.loss * whole, what="term")
    wanted_x, wanted_r = wanted.grads(reduction, weights if reduction == "none" else 1.0)
    if c.gallery_is_x:
        wanted_x, wanted_r = wanted_x + wanted_r, None
    by_cos = wanted.grad_cosine * (wanted.row_weights(reduction) * weights)[..., None]
    floor = (
        least + UNDERFLOW[dtype] + cosine_floor(by_cos, c.x.numpy(), ROUNDING[accumulation(dtype)])
    )
    x, gallery = positional[0], positional[2]
    assert x.grad.dtype == dtype
    assert_close(x.grad, wanted_x, allowed.grad, floor=floor, what="gradient of embeddings")
    if wanted_r is not None:
        assert_close(gallery.grad, wanted_r, allowed.grad, floor=floor, what="gradient of gallery")


@BACKENDS
@pytest.mark.parametrize("loss, name, label", EVERY_CASE)
def test_matches_the_oracle(loss, name, label, backend, device):
    check(loss, {}, name, TYPES[label], backend=backend, device=device)


@BACKENDS
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", AWKWARD)
@pytest.mark.parametrize("dtype", [F64, F32], ids=str)
@pytest.mark.parametrize("loss, options", list(variants()), ids=str)
def test_every_option_and_reduction(loss, options, name, reduction, dtype, backend, device):
    check(loss, options, name, dtype, backend=backend, device=device, reduction=reduction)
