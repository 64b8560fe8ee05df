"""All losses on embeddings, on problems that nobody thought of: right, NaN where it must be, repeatable.

drawn_problems.py draws them, the oracle answers, allowances.py says how far an answer may be off.
"""

from types import SimpleNamespace

import numpy as np
import torch
from hypothesis import event, given

import allowances
import oracle
import oracle_losses
from drawn_problems import problems
from drsl_cuda import functional
from fuzz_kit import fuzz
from tolerances import BF16, F16, F32, F64, UNDERFLOW, accumulation, accumulation_name

# A query whose result hangs on more than this is not asked: two of its angles or distances nearly tie.
DOUBTFUL = 0.02
OUTPUT = {F64: 2.0**-52, F32: 2.0**-23, F16: 2.0**-10, BF16: 2.0**-7}  # rounded once, to the type


def run(problem, backend="native", upstream=None):
    """The loss and the gradients of both sides."""
    given, options = problem.arguments
    x, labels, gallery, gallery_labels = given
    leaves = [t.detach().requires_grad_() for t in (x, gallery) if t is not None]
    function = getattr(functional, f"{problem.loss}_loss")
    loss = function(leaves[0], labels, *leaves[1:], *[gallery_labels] * (len(leaves) - 1),
                    backend=backend, **options)  # fmt: skip
    assert loss.dtype == accumulation(x.dtype)
    upstream = torch.ones_like(loss) if upstream is None else upstream.to(loss.dtype)
    return loss.detach(), torch.autograd.grad(loss, leaves, upstream)


class Truth:
    """The oracle's answer, and how far from it is near enough."""

    def __init__(self, problem):
        self.problem = problem
        arrays = [_array(t) for t in (problem.x, problem.gallery)]
        options = dict(problem.options)
        if problem.loss == "drsl":
            weights = [float(options.pop(f"{name}_weight")) for name in ("rank", "sort", "angle")]
            solve, options = oracle.drsl, options | {"weights": weights}
        else:
            solve = getattr(oracle_losses, problem.loss)
        self.labels = problem.labels.numpy().astype(np.int64)
        self.gallery_labels = (
            None if problem.gallery is None else problem.gallery_labels.numpy().astype(np.int64)
        )
        with np.errstate(all="ignore"):
            self.whole = solve(
                arrays[0], self.labels, arrays[1], self.gallery_labels,
                self_index=_array(problem.self_index), exclude=_array(problem.exclude),
                normalize=problem.normalize, accumulation=accumulation_name(problem.x.dtype), **options,
            )  # fmt: skip
        self.has_sets = problem.x.dim() == 3
        with np.errstate(all="ignore"):
            self.sets = [self._set(s) for s in range(len(problem.x) if self.has_sets else 1)]

    def _set(self, s):
        """What allowances.py wants to know of one set."""
        p, at = self.problem, s if self.has_sets else slice(None)
        raw = [None if t is None else _array(t)[at] for t in (p.x, p.gallery)]
        type_name = accumulation_name(p.x.dtype)
        x, gallery = (v if v is None or not p.normalize else oracle.unit(v, type_name) for v in raw)
        distance, cosine = oracle.pairwise(x, gallery, type_name)
        result = SimpleNamespace(
            **{
                name: getattr(self.whole, name)[at]
                for name in ("compared", "bad", "grad_distance", "grad_cosine")
            }
        )
        same = self.labels if gallery is None else self.gallery_labels
        sides = []
        for q in range(len(x)):
            left = np.flatnonzero(result.compared[q] & ~result.bad[q])
            positive = same[left] == self.labels[q]
            sides.append((left[positive], left[~positive]))
        allowed = allowances.rows(
            p, distance, cosine, _numbered(raw[0 if gallery is None else 1]), sides
        )
        return SimpleNamespace(
            raw=raw, x=x, gallery=gallery, distance=distance, result=result, allowed=allowed
        )

    def doubtful(self):
        """[B] queries whose result hangs on how a near tie is rounded, in any set."""
        rows = [[row.distance > DOUBTFUL for row in s.allowed] for s in self.sets]
        scale = self.problem.loss in ("drsl", "batch_hard_triplet")
        return np.array(rows).reshape(len(rows), len(self.labels)).any(0) & scale

    def check_loss(self, loss):
        p, weights = self.problem, self._by_query(self.whole.row_weights(self.problem.reduction))
        allowed = np.array([[row.loss for row in s.allowed] for s in self.sets]).reshape(
            weights.shape
        )
        allowed = weights * allowed
        wanted = np.asarray(self.whole.reduced(p.reduction), dtype=float)
        allowed = allowed.reshape(wanted.shape) if p.reduction == "none" else allowed.sum()
        errors = allowances.errors_of(p.x.dtype)
        close(loss, wanted, allowed + errors.sum * np.abs(np.nan_to_num(wanted)), "loss")

    def check_gradients(self, gradients, upstream):
        p = self.problem
        upstream = 1.0 if upstream is None else _array(upstream)
        weight = self._by_query(self.whole.row_weights(p.reduction) * upstream)
        with np.errstate(all="ignore"):
            wanted = self.whole.grads(p.reduction, upstream)
            limits = [
                allowances.gradient(p, s.allowed, s.result, w, s.x, s.gallery, s.distance)
                for s, w in zip(self.sets, weight, strict=True)
            ]
        for side, (got, name) in enumerate(zip(gradients, ("embeddings", "gallery"), strict=False)):
            assert got.dtype == p.x.dtype
            for s, (limit, part) in enumerate(zip(limits, self.sets, strict=True)):
                allowed, at = limit[side], s if self.has_sets else slice(None)
                if p.normalize:
                    lengths = oracle.norms(part.raw[side])
                    usable = (lengths > 0) & np.isfinite(lengths)
                    with np.errstate(over="ignore"):
                        allowed = np.where(usable, allowed / np.where(usable, lengths, 1), 0)
                right = wanted[side][at]
                size = np.abs(np.nan_to_num(right, posinf=0, neginf=0)).max(-1, initial=0.0)
                # What is left of a number below the smallest normal one is a multiple of the least.
                least = UNDERFLOW[p.x.dtype] + torch.finfo(p.x.dtype).tiny
                allowed = (
                    allowed + (OUTPUT[p.x.dtype] * size + least) * max(1, right.shape[-1]) ** 0.5
                )
                most = torch.finfo(p.x.dtype).max * 0.99
                close(got[at], right, allowed[:, None], f"gradient of {name}", most)

    def _by_query(self, values):
        return np.broadcast_to(values, self.whole.loss.shape).reshape(
            len(self.sets), len(self.labels)
        )


def close(got, wanted, allowed, what, most=np.inf):
    """NaN in the same places; all else within what is allowed, infinite only where the type ends."""
    got = got.detach().double().numpy()
    assert got.shape == wanted.shape, what
    assert np.array_equal(np.isnan(got), np.isnan(wanted)), (
        f"{what}: NaN in other places than wanted\n{got}\n{wanted}"
    )
    beyond = np.abs(wanted) > most
    assert (np.isfinite(got) | np.isnan(wanted) | beyond).all(), (
        f"{what}: infinite\n{got}\n{wanted}"
    )
    keep = ~np.isnan(wanted) & ~beyond
    error = np.abs(np.where(keep, got, 0) - np.where(keep, wanted, 0))
    excess = np.where(keep, error - allowed, -1.0).max(initial=-1.0)
    assert excess <= 0, f"{what}: {excess:.3e} more than allowed\n{got}\n{wanted}\n{allowed}"


def _array(tensor):
    if tensor is None:
        return None
    return (tensor.double() if tensor.is_floating_point() else tensor).detach().numpy()


def _numbered(rows):
    """[n] numbers; rows have the same one if they are equal bit by bit."""
    seen = {}
    return np.array(
        [seen.setdefault(row.tobytes(), len(seen)) for row in np.ascontiguousarray(rows)], int
    )


def same_bits(a, b):
    """Equal, NaN included."""
    a, b = a.contiguous(), b.contiguous()
    return (
        a.shape == b.shape
        and torch.equal(a.isnan(), b.isnan())
        and torch.equal(a.nan_to_num(0.0), b.nan_to_num(0.0))
    )


def upstream_of(problem, seed):
    """What arrives at a loss that is not reduced: for some queries 0, for some negative."""
    if problem.reduction != "none":
        return None
    numbers = np.random.default_rng(seed).uniform(-1, 2, problem.x.shape[:-1])
    return torch.as_tensor(np.where(numbers > 1.5, 0.0, numbers)).float()


def check(problem, backend, seed=0):
    truth = Truth(problem)
    doubtful = truth.doubtful()
    if doubtful.any():
        problem = problem.with_masked_queries(doubtful)
        truth = Truth(problem)
    upstream = upstream_of(problem, seed)
    loss, gradients = run(problem, backend, upstream)
    truth.check_loss(loss)
    truth.check_gradients(gradients, upstream)
    counting = truth.whole.counts.any()
    event(
        f"{problem.loss}: {'NaN' if truth.whole.bad.any() else 'counts' if counting else 'nothing counts'}"
    )


@fuzz(1200)
@given(problems())
def test_native_code_gives_what_the_oracle_gives(problem):
    check(problem, "native")


@fuzz(150)
@given(problems())
def test_the_reference_gives_what_the_oracle_gives(problem):
    check(problem, "reference")


@fuzz(400)
@given(problems())
def test_where_rows_lie_changes_no_bit_and_nothing_given_is_changed(problem):
    tensors = [
        t for t in (*problem.arguments[0], problem.self_index, problem.exclude) if t is not None
    ]
    before = [t.clone() for t in tensors]
    upstream = upstream_of(problem, 1)
    loss, gradients = run(problem, "native", upstream)
    assert all(same_bits(t, b) for t, b in zip(tensors, before, strict=True))
    for other in (problem, problem.contiguous()):
        again, others = run(other, "native", upstream)
        assert same_bits(loss, again)
        for gradient, same in zip(gradients, others, strict=True):
            assert same_bits(gradient, same)
