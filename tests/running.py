"""Runs a named case through one of the implementations and compares it with the oracle."""

import numpy as np
import torch

import oracle
from cases import build, expected
from drsl_cuda import functional
from tolerances import (
    CONTRACT,
    ROUNDING,
    UNDERFLOW,
    accumulation,
    accumulation_name,
    assert_close,
    cosine_floor,
    of_case,
)

TERM_NAMES = ("ranking", "sorting", "angle")


def arguments(c, dtype, device="cpu", grad=True):
    """(positional, keyword) arguments of the loss for a case; leaves that require a gradient."""

    def place(tensor):
        return None if tensor is None else tensor.to(device)

    x = c.x.to(device, dtype, copy=True).requires_grad_(grad)
    gallery = None
    if c.gallery is not None:
        gallery = (
            x if c.gallery_is_x else c.gallery.to(device, dtype, copy=True).requires_grad_(grad)
        )
    masks = {"self_index": place(c.self_index), "exclude": place(c.exclude)}
    return (x, place(c.labels), gallery, place(c.gallery_labels)), masks | c.options


def evaluate(c, dtype, *, backend, device="cpu", reduction="mean", upstream=None):
    """loss, terms, gradient of x, gradient of the gallery (None without one or if it is x)."""
    positional, keyword = arguments(c, dtype, device)
    loss, terms = functional.drsl_loss(
        *positional, **keyword, reduction=reduction, return_terms=True, backend=backend
    )
    loss.backward(torch.ones_like(loss) if upstream is None else upstream.to(loss))
    x, gallery = positional[0], positional[2]
    return loss.detach(), terms, x.grad, None if gallery is None or gallery is x else gallery.grad


def check_against_oracle(name, dtype, *, backend, device="cpu", reduction="mean"):
    c, wanted = build(name), expected(name, accumulation_name(dtype))
    tolerance = of_case(name, dtype)
    upstream = None
    weights = np.ones(wanted.loss.shape)
    if reduction == "none":
        weights = np.random.default_rng(0).uniform(-1, 2, wanted.loss.shape)
        upstream = torch.as_tensor(weights)
    loss, terms, grad_x, grad_gallery = evaluate(
        c, dtype, backend=backend, device=device, reduction=reduction, upstream=upstream
    )
    assert_close(loss, wanted.reduced(reduction), tolerance.loss, what="loss")
    for part, value in zip(TERM_NAMES, wanted.reduced_terms(reduction), strict=True):
        if not (part == "sorting" and c.near_ties):
            # Terms are parts of the whole: their errors are measured against it.
            whole = np.abs(np.stack(wanted.reduced_terms(reduction))).max(initial=0.0)
            assert_close(
                getattr(terms, part), value, tolerance.loss, floor=tolerance.loss * whole, what=part
            )
    wanted_x, wanted_gallery = wanted.grads(reduction, weights if reduction == "none" else 1.0)
    if c.gallery_is_x:
        wanted_x, wanted_gallery = wanted_x + wanted_gallery, None
    by_cos = (
        np.nan_to_num(wanted.grad_cosine) * (wanted.row_weights(reduction) * weights)[..., None]
    )
    floor = UNDERFLOW[dtype] + cosine_floor(by_cos, c.x.numpy(), ROUNDING[accumulation(dtype)])
    assert grad_x.dtype == dtype
    assert_close(grad_x, wanted_x, tolerance.grad, floor=floor, what="gradient of embeddings")
    if wanted_gallery is not None:
        assert grad_gallery.dtype == dtype
        assert_close(
            grad_gallery, wanted_gallery, tolerance.grad, floor=floor, what="gradient of gallery"
        )


def drsl(*args, backend="native", **kwargs):
    return functional.drsl_loss(*args, backend=backend, **kwargs)


def loss_and_grads(x, labels, gallery=None, gallery_labels=None, *, weight=None, **kwargs):
    """Loss and gradients from plain tensors; weight multiplies the loss before the backward."""
    x = x.detach().clone().requires_grad_()
    gallery = None if gallery is None else gallery.detach().clone().requires_grad_()
    loss = drsl(x, labels, gallery, gallery_labels, **kwargs)
    loss.backward(torch.ones_like(loss) if weight is None else weight)
    return loss.detach(), x.grad, None if gallery is None else gallery.grad


def spoilable(name):
    """A case as a dictionary of arrays that a test may spoil."""
    c = build(name)
    fields = ("x", "labels", "gallery", "gallery_labels", "self_index", "exclude")
    return {f: None if getattr(c, f) is None else getattr(c, f).numpy().copy() for f in fields}


def check_spoilt(
    given,
    dtype,
    backend,
    device,
    *,
    reduction="none",
    normalize=False,
    delta=0.5,
    weights=(1.0, 1.0, 1.0),
):
    """Against the oracle: the same NaN in the same places, and right numbers everywhere else."""
    wanted = oracle.drsl(**given, normalize=normalize, delta=delta, weights=weights,
                         accumulation=accumulation_name(dtype))  # fmt: skip
    placed = {k: None if v is None else torch.as_tensor(v).to(device) for k, v in given.items()}
    placed["x"] = placed["x"].to(dtype)
    if placed["gallery"] is not None:
        placed["gallery"] = placed["gallery"].to(dtype)
    named = dict(zip(("rank_weight", "sort_weight", "angle_weight"), weights, strict=True))
    loss, grad_x, grad_gallery = loss_and_grads(
        **placed, reduction=reduction, normalize=normalize, delta=delta, **named, backend=backend
    )
    assert_close(loss, wanted.reduced(reduction), CONTRACT[dtype].loss, what="loss")
    wanted_x, wanted_gallery = wanted.grads(reduction)
    rows = given["x"][np.isfinite(given["x"]).all(-1)]
    floor = cosine_floor(np.nan_to_num(wanted.grad_cosine), rows, ROUNDING[dtype])
    assert_close(grad_x, wanted_x, CONTRACT[dtype].grad, floor=floor, what="gradient of embeddings")
    if grad_gallery is not None:
        assert_close(
            grad_gallery,
            wanted_gallery,
            CONTRACT[dtype].grad,
            floor=floor,
            what="gradient of gallery",
        )
    return wanted
