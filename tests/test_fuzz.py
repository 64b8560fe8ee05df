"""Random shapes, labels, masks and settings, in float64, against the oracle."""

import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import oracle
from running import loss_and_grads
from tolerances import CONTRACT, F64, ROUNDING, assert_close, cosine_floor


@st.composite
def problems(draw):
    size, dim = draw(st.integers(0, 20)), draw(st.integers(2, 9))
    sets = draw(st.sampled_from([None, None, 1, 2]))
    entries = draw(st.one_of(st.none(), st.integers(0, 40)))
    classes = draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    delta = draw(st.sampled_from([0.5, 0.0, 1e-3, 3.0]))
    normalize = draw(st.booleans())
    # Unit rows all have distance 1 to a zero row, but for rounding: at δ = 0 nobody could order them.
    zeros = draw(st.booleans()) and not (normalize and delta == 0)

    def rows(count):
        shape = (count, dim) if sets is None else (sets, count, dim)
        made = rng.standard_normal(shape) * 2.0 ** draw(st.integers(-8, 8))
        if draw(st.booleans()) and count > 1:  # copies of other rows: ties, and distances of zero
            source = np.where(
                rng.random(count) < 0.4, rng.integers(0, count, count), np.arange(count)
            )
            made = made[..., source, :]
        if zeros:
            made[..., rng.random(count) < 0.2, :] = 0.0
        return made

    x, gallery = rows(size), None if entries is None else rows(entries)
    columns = size if gallery is None else entries
    shared = gallery is not None and draw(st.booleans())
    if shared and size and entries:  # some entries are rows of the batch
        gallery[..., : min(size, entries), :] = x[..., : min(size, entries), :]
    pick = draw(st.sampled_from([np.int64, np.int32]))
    masks = {
        "self_index": rng.integers(-1, columns, size) if columns and draw(st.booleans()) else None,
        "exclude": rng.random((size, columns)) < draw(st.sampled_from([0.1, 0.6]))
        if draw(st.booleans())
        else None,
    }
    labels = rng.integers(-2, classes - 2, size).astype(pick)
    gallery_labels = (
        None if gallery is None else rng.integers(-2, classes - 2, entries).astype(pick)
    )
    weights = draw(
        st.sampled_from([(1.0, 1.0, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.5), (0.3, 2.0, 0.0)])
    )
    options = masks | {"delta": delta, "normalize": normalize}
    reduction = draw(st.sampled_from(["mean", "sum", "none"]))
    return (x, labels, gallery, gallery_labels), options, weights, reduction


@settings(
    database=None,
    max_examples=250,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(problems())
def test_native_matches_the_oracle(problem):
    arrays, options, weights, reduction = problem
    wanted = oracle.drsl(*arrays, **options, weights=weights)
    named = dict(zip(("rank_weight", "sort_weight", "angle_weight"), weights, strict=True))
    tensors = [None if a is None else torch.as_tensor(a) for a in arrays]
    placed = {k: torch.as_tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    upstream = torch.as_tensor(
        np.random.default_rng(1).uniform(-1, 1, np.shape(wanted.reduced(reduction)))
    )
    loss, grad_x, grad_gallery = loss_and_grads(
        *tensors, **placed, **named, reduction=reduction, weight=upstream
    )
    assert_close(loss, wanted.reduced(reduction), CONTRACT[F64].loss, what="loss")
    weight = upstream.numpy() * wanted.row_weights(reduction)
    wanted_x, wanted_gallery = wanted.grad_inputs(weight)
    both = np.concatenate(
        [a.reshape(-1, a.shape[-1]) for a in (arrays[0], arrays[2]) if a is not None]
    )
    floor = cosine_floor(wanted.grad_cosine * weight[..., None], both, ROUNDING[F64])
    assert_close(grad_x, wanted_x, CONTRACT[F64].grad, floor=floor, what="gradient of embeddings")
    if wanted_gallery is not None:
        assert_close(
            grad_gallery,
            wanted_gallery,
            CONTRACT[F64].grad,
            floor=floor,
            what="gradient of gallery",
        )
