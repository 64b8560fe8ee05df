"""What named inputs are made of: the record, the registry and the ingredients.

Values lie on a coarse grid (bfloat16's unless said otherwise), so every type in `dtypes` holds the
same numbers and one float64 oracle answers for all of them.

DRSL jumps where two y of positives tie and, at δ = 0, where two d tie. A case that is compared across
precisions is drawn again until no such pair is nearer than `GAP`; exact duplicates are no near-tie,
because the contract makes them equal in every precision.
"""

from dataclasses import dataclass, field
from functools import cache

import numpy as np
import torch

import oracle

F64, F32, F16, BF16 = torch.float64, torch.float32, torch.float16, torch.bfloat16
EVERY, WIDE, DOUBLE = (F64, F32, F16, BF16), (F64, F32), (F64,)

# Errors of y and of d/|d| in float32 are a few 6e-8 times sqrt(D); ten to thirty times that is safe.
GAP = 4e-6

_BUILDERS, _DTYPES = {}, {}


@dataclass(frozen=True)
class Case:
    x: torch.Tensor  # float64 [B, D] or [S, B, D]
    labels: torch.Tensor
    gallery: torch.Tensor | None = None
    gallery_labels: torch.Tensor | None = None
    self_index: torch.Tensor | None = None
    exclude: torch.Tensor | None = None
    gallery_is_x: bool = False  # pass the very tensor x as gallery
    options: dict = field(default_factory=dict)  # delta, *_weight, normalize
    near_ties: bool = False  # order of y depends on rounding: the sorting term is not comparable

    @property
    def weights(self):
        return tuple(self.options.get(f"{name}_weight", 1.0) for name in ("rank", "sort", "angle"))

    @property
    def delta(self):
        return self.options.get("delta", 0.5)


def case(name, dtypes=EVERY):
    def register(builder):
        assert name not in _BUILDERS, name
        _BUILDERS[name], _DTYPES[name] = builder, dtypes
        return builder

    return register


def names(*, dtype=None, having=""):
    """Names of the cases that hold exactly in `dtype` and have `having` in their name."""
    return [n for n in _BUILDERS if (dtype is None or dtype in _DTYPES[n]) and having in n]


@cache
def build(name):
    return _BUILDERS[name]()


@cache
def expected(name, accumulation="float64"):
    """The oracle's Result for a case, computed once in a test run."""
    c = build(name)

    def plain(tensor):
        return None if tensor is None else tensor.numpy()

    return oracle.drsl(
        c.x.numpy(), plain(c.labels), plain(c.gallery), plain(c.gallery_labels),
        self_index=plain(c.self_index), exclude=plain(c.exclude), delta=c.delta, weights=c.weights,
        normalize=c.options.get("normalize", False), accumulation=accumulation,
    )  # fmt: skip


# ---------------------------------------------------------------------------- ingredients


def on_grid(values, grid=BF16):
    return torch.as_tensor(values, dtype=F64).to(grid).to(F64)


def clusters(rng, labels, dim, centre=0.4, grid=BF16):
    """Overlapping clouds, one per label: positives are nearer on average and often out of order."""
    _, index = np.unique(labels, return_inverse=True)
    centres = centre * rng.standard_normal((index.max(initial=0) + 1, dim))
    return on_grid(centres[index] + rng.standard_normal((len(labels), dim)), grid)


def pk_labels(classes, per_class):
    """Interleaved, because a sorted batch would hide a mistake in the masks."""
    return torch.arange(classes * per_class) % classes


def smallest_gap(c):
    """Least distance to a decision that rounding could turn: |y_i − y_j| over positives and, where δ is
    next to nothing against the distances, |d_i − d_j|/d over all. Masks are ignored: they only help."""
    gaps = [np.inf]
    x, r = c.x.numpy(), None if c.gallery is None else c.gallery.numpy()
    if c.options.get("normalize"):
        flat = x.reshape(-1, x.shape[-1])
        x = oracle.unit(flat).reshape(x.shape)
        r = None if r is None else oracle.unit(r)
    r_labels = c.labels if r is None else c.gallery_labels
    for s in range(len(x)) if x.ndim == 3 else [...]:
        distance, cosine = oracle.pairwise(x[s], None if r is None else r[s])
        for q in range(len(distance)):
            same = (r_labels == c.labels[q]).numpy()
            others = np.arange(len(same)) != (q if r is None else -1)
            if not (same & others).any():
                continue
            y = np.sort((1 + cosine[q][same & others]) / 2)
            gaps.append(_least_difference(y, np.ones(len(y))))
            d = np.sort(distance[q][others])
            d = d[1e-4 * d >= c.delta] if c.delta else d
            gaps.append(_least_difference(d, d))
    return min(gaps)


def _least_difference(ordered, size):
    steps = np.diff(ordered)
    moved = steps > 0  # equal bits are a tie in every precision
    return (steps[moved] / size[1:][moved]).min(initial=np.inf)


def drawn(make, seed, gap=GAP):
    """make(rng) -> Case, drawn again until it has no near-tie."""
    for attempt in range(60):
        made = make(np.random.default_rng((seed, attempt)))
        if smallest_gap(made) >= gap:
            return made
    raise AssertionError(f"no draw without near-ties: seed {seed}, gap {gap}")


def labelled(
    name,
    labels,
    dim,
    *,
    seed=0,
    dtypes=EVERY,
    gap=GAP,
    centre=0.4,
    scale=1.0,
    offset=0.0,
    grid=BF16,
    **fields,
):
    """A case whose rows are clusters around its labels."""

    @case(name, dtypes)
    def make():
        def draw(rng):
            x = clusters(rng, labels, dim, centre, grid) * scale
            return Case(on_grid(x + offset, F32) if offset else x, labels, **fields)

        return drawn(draw, seed, gap)
