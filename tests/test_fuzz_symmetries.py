"""What must not matter to a loss does not, on problems that nobody thought of.

The problem is changed in a way that the contract says changes nothing (or something known), the result
is taken back, and has to be what the oracle says of the problem as it was.
"""

from dataclasses import replace

import numpy as np
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from drawn_problems import problems
from fuzz_kit import fuzz
from test_fuzz import Truth, run, upstream_of
from tolerances import F32, F64


def _same(loss, *gradients):
    return loss, gradients


def another_order_of_the_batch(p, rng):
    order = torch.as_tensor(rng.permutation(len(p.labels)))
    back = torch.argsort(order)
    moved = {"x": p.x[..., order, :], "labels": p.labels[order]}
    exclude, self_index = p.exclude, p.self_index
    if p.gallery is None:
        exclude = None if exclude is None else exclude[:, order]
        if self_index is not None:
            self_index = torch.where(self_index >= 0, back[self_index], -1)
    moved["exclude"] = None if exclude is None else exclude[order]
    moved["self_index"] = None if self_index is None else self_index[order]

    def undo(loss, by_x, *others):
        return loss[..., back] if p.reduction == "none" else loss, (by_x[..., back, :], *others)

    return replace(p, **moved), undo, order


def another_order_of_the_gallery(p, rng):
    assume(p.gallery is not None and p.loss != "batch_hard_triplet")  # which breaks ties by place
    order = torch.as_tensor(rng.permutation(p.gallery.shape[-2]))
    back = torch.argsort(order)
    own = p.self_index
    moved = replace(
        p,
        gallery=p.gallery[..., order, :],
        gallery_labels=p.gallery_labels[order],
        exclude=None if p.exclude is None else p.exclude[:, order],
        self_index=None if own is None or not len(back) else torch.where(own >= 0, back[own], -1),
    )
    return moved, lambda loss, by_x, by_r: (loss, (by_x, by_r[..., back, :])), None


def axes_turned_and_mirrored(p, rng):
    axes = torch.as_tensor(rng.permutation(p.x.shape[-1]))
    signs = torch.as_tensor(rng.choice([-1.0, 1.0], len(axes))).to(p.x.dtype)

    def turned(rows):
        return None if rows is None else rows[..., axes] * signs

    def undo(loss, *gradients):
        return loss, tuple((g * signs)[..., torch.argsort(axes)] for g in gradients)

    return replace(p, x=turned(p.x), gallery=turned(p.gallery)), undo, None


def other_names_of_labels(p, rng):
    old = p.labels.to(torch.int64)
    if p.gallery is not None:
        old = torch.cat([old, p.gallery_labels.to(torch.int64)])
    number = old.unique(return_inverse=True)[1]
    names = torch.as_tensor(rng.permutation(2**10) - 2**9)[number]
    size = len(p.labels)
    others = None if p.gallery is None else names[size:]
    return replace(p, labels=names[:size], gallery_labels=others), _same, None


def the_batch_spelt_out_as_its_gallery(p, rng):
    assume(p.gallery is None)
    own = torch.arange(len(p.labels)) if p.self_index is None else p.self_index
    spelt_out = replace(p, gallery=p.x, gallery_labels=p.labels, self_index=own)

    def undo(loss, by_x, by_r):
        return loss, ((by_x.double() + by_r.double()).to(by_x.dtype),)

    return spelt_out, undo, None


def twice_as_sets(p, rng):
    assume(p.x.dim() == 2 and p.reduction == "none")

    def twice(rows):
        return None if rows is None else rows.expand(2, *rows.shape)

    return replace(p, x=twice(p.x), gallery=twice(p.gallery)), (
        lambda loss, *gradients: (loss[1], tuple(g[1] for g in gradients))
    ), None  # fmt: skip


def strangers_far_away(p, rng):
    """A class that no query has, out of reach of every ramp: no query notices."""
    assume(p.gallery is not None and not p.normalize and p.reduction != "mean")
    assume(p.loss == "drsl" or (p.loss == "fidi" and p.reduction == "sum"))
    assume(
        p.x.dtype == F64
        and p.gallery.shape[-2]
        and p.x.isfinite().all()
        and p.gallery.isfinite().all()
    )
    reach = max(float(p.x.abs().max()) if p.x.numel() else 1.0, float(p.gallery.abs().max()), 1.0)
    reach = max(reach, p.options.get("delta", 0.0), 1 / p.options.get("beta", 1.0))
    assume(reach < 2.0**300)
    count, added = p.gallery.shape[-2], 3
    far = torch.zeros(*p.gallery.shape[:-2], added, p.gallery.shape[-1], dtype=F64)
    far[..., 0] = reach * 2.0**14
    others = torch.full((added,), 7, dtype=torch.int64)
    assume(not (p.labels == 7).any())
    exclude = p.exclude
    if exclude is not None:
        exclude = torch.cat([exclude, torch.zeros(len(exclude), added, dtype=torch.bool)], 1)
    with_far = replace(
        p,
        gallery=torch.cat([p.gallery, far], -2),
        gallery_labels=torch.cat([p.gallery_labels.to(torch.int64), others]),
        labels=p.labels.to(torch.int64),
        exclude=exclude,
    )

    def undo(loss, by_x, by_r):
        assert not by_r[..., count:, :].abs().max() > 0
        return loss, (by_x, by_r[..., :count, :])

    return with_far, undo, None


SYMMETRIES = [
    another_order_of_the_batch,
    another_order_of_the_gallery,
    axes_turned_and_mirrored,
    other_names_of_labels,
    the_batch_spelt_out_as_its_gallery,
    twice_as_sets,
    strangers_far_away,
]


@fuzz(500)
@given(st.sampled_from(SYMMETRIES), problems(dtypes=(F64, F64, F32)), st.integers(0, 2**32 - 1))
def test_what_must_not_matter_does_not(symmetry, problem, number):
    truth = Truth(problem)
    if truth.doubtful().any():
        problem = problem.with_masked_queries(truth.doubtful())
        truth = Truth(problem)
    changed, undo, order = symmetry(problem, np.random.default_rng(number))
    upstream = upstream_of(problem, number)
    moved = upstream if upstream is None or order is None else upstream[..., order]
    if changed.x.dim() > problem.x.dim() and upstream is not None:
        moved = moved.expand(2, *moved.shape)
    loss, gradients = undo(*_flat(run(changed, "native", moved)))
    truth.check_loss(loss)
    truth.check_gradients(gradients, upstream)


def _flat(result):
    return result[0], *result[1]
