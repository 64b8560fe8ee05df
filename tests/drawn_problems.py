"""Problems for losses on embeddings that nobody thought of: a strategy for hypothesis.

Structure (sizes, types, masks, layouts, what kind of rows) is drawn by hypothesis, so that it shrinks;
numbers come from a seed.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from hypothesis import strategies as st

from layouts import LAYOUTS
from tolerances import BF16, F16, F32, F64

INF, NAN = float("inf"), float("nan")

# Parameters of each loss. Lengths among them go with the scale of the rows: see `at_scale`.
OPTIONS = {
    "drsl": [
        {"delta": delta, "rank_weight": rank, "sort_weight": sort, "angle_weight": angle}
        for delta in (0.5, 0.0, 1e-3, 3.0)
        for rank, sort, angle in ((1, 1, 1), (1, 0, 0), (0, 1, 0.5), (0.3, 2, 0), (1, -1, 0.0))
    ],
    "fidi": [{"alpha": a, "beta": b} for a, b in ((1.05, 0.5), (1.5, 0.1), (3.0, 2.0))],
    "smooth_ap": [
        {"temperature": t, "include_self": own} for t in (0.01, 0.1, 1.0) for own in (False, True)
    ],
    "batch_hard_triplet": [{"margin": m} for m in (0.3, None, 0.0, 4.0)],
}
LENGTHS, INVERSE_LENGTHS = ("delta", "margin"), ("beta",)

# Exponents of two of the rows' scale: 1e-30 … 1e30 where the type has them, denormals, and ordinary ones.
SCALES = {
    F64: (0, 0, 0, -10, 10, -100, 100, -500, 500, -1040),
    F32: (0, 0, 0, -10, 10, -100, 100, -64, -140),
    BF16: (0, 0, 0, -10, 10, -100, 100, -64, -130),
    F16: (0, 0, 0, -10, 10, -20),
}


@dataclass(frozen=True)
class Problem:
    loss: str
    options: dict
    normalize: bool
    reduction: str
    x: torch.Tensor  # [B, D] or [S, B, D], laid out in some way
    labels: torch.Tensor
    gallery: torch.Tensor | None
    gallery_labels: torch.Tensor | None
    self_index: torch.Tensor | None
    exclude: torch.Tensor | None

    @property
    def arguments(self):
        """Positional and keyword arguments of the loss, but for backend."""
        given = self.x, self.labels, self.gallery, self.gallery_labels
        masks = {"self_index": self.self_index, "exclude": self.exclude}
        rest = {"normalize": self.normalize, "reduction": self.reduction}
        return given, masks | self.options | rest

    def with_masked_queries(self, queries):
        """The same, but some queries [B] exclude everything."""
        columns = len(self.labels) if self.gallery is None else self.gallery.shape[-2]
        exclude = torch.zeros(len(self.labels), columns, dtype=torch.bool)
        exclude |= torch.as_tensor(queries)[:, None]
        exclude = exclude if self.exclude is None else exclude | self.exclude
        return replace(self, exclude=exclude)

    def contiguous(self):
        """The same numbers, each tensor in memory of its own."""
        names = ("x", "labels", "gallery", "gallery_labels", "self_index", "exclude")
        tensors = {name: getattr(self, name) for name in names}
        return replace(
            self,
            **{
                name: None if t is None else t.detach().clone(memory_format=torch.contiguous_format)
                for name, t in tensors.items()
            },
        )


# ------------------------------------------------------------------------------------ rows


def _gaussian(rng, n, dim):
    return rng.standard_normal((n, dim))


def _grid(rng, n, dim):
    """Few distinct distances and angles: ties of rows that are not equal."""
    return rng.integers(-2, 3, (n, dim)).astype(float)


def _near(rng, n, dim):
    return 1 + rng.standard_normal((1, dim)) + 1e-3 * rng.standard_normal((n, dim))


def _copies(rng, n, dim):
    """Ties, and distances of zero."""
    rows = rng.standard_normal((n, dim))
    return rows[np.where(rng.random(n) < 0.5, rng.integers(0, max(n, 1), n), np.arange(n))]


def _antipodes(rng, n, dim):
    few = rng.standard_normal((3, dim))
    return (
        few[rng.integers(0, 3, n)] * rng.choice([-1, 1], (n, 1)) * 2.0 ** rng.integers(0, 2, (n, 1))
    )


def _some_zero(rng, n, dim):
    return rng.standard_normal((n, dim)) * (rng.random((n, 1)) < 0.7)


def _all_lengths(rng, n, dim):
    """Lengths from 1e-30 to 1e30 of the scale in one batch."""
    return rng.standard_normal((n, dim)) * 2.0 ** rng.integers(-100, 101, (n, 1))


def _sparse(rng, n, dim):
    """Orthogonal rows, axes: exact zeros among products."""
    return rng.standard_normal((n, dim)) * (rng.random((n, dim)) < 0.3)


KINDS = (_gaussian, _gaussian, _grid, _near, _copies, _antipodes, _some_zero, _all_lengths, _sparse)
SIZES = (  # B, entries of a gallery, D
    ((0, 8), (0, 12), (1, 5)),
    ((0, 8), (0, 12), (1, 5)),
    ((2, 16), (1, 24), (1, 9)),
    ((1, 3), (100, 300), (1, 4)),  # many positives a query
    ((20, 40), (40, 90), (16, 40)),  # products by the library
)


@st.composite
def problems(draw, losses=tuple(OPTIONS), dtypes=(F64, F64, F32, F32, F16, BF16), spoilt=True):
    """Problems; spoilt: some with NaN or infinity in a row."""
    loss, dtype = draw(st.sampled_from(losses)), draw(st.sampled_from(dtypes))
    (low, high), (least, most), dims = draw(st.sampled_from(SIZES))
    many = least >= 100
    size, dim = draw(st.integers(low, high)), draw(st.integers(*dims))
    entries = draw(st.integers(least, most)) if many or draw(st.booleans()) else None
    sets = draw(st.sampled_from([None, None, None, 1, 2]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(KINDS))
    exponent = draw(st.sampled_from(SCALES[dtype]))
    # All lengths, and those times 1e-30: a derivative divided by a distance would leave the type.
    exponent = 0 if kind is _all_lengths else exponent
    value = draw(st.sampled_from([None, None, None, NAN, INF, -INF])) if spoilt else None

    def side(count, spoil):
        made = np.stack([kind(rng, count, dim) for _ in range(sets or 1)])
        made = np.clip(np.ldexp(made, exponent), *limits(dtype))
        if spoil and value is not None and made.size:
            row = made[rng.integers(len(made)), rng.integers(count)]
            row[rng.integers(dim) if rng.random() < 0.5 else slice(None)] = value
        rows = torch.as_tensor(made if sets is not None else made[0]).to(dtype)
        return LAYOUTS[draw(st.sampled_from(list(LAYOUTS)))](rows)

    spoil_x = draw(st.booleans())
    x = side(size, spoil_x or entries is None)
    gallery = None if entries is None else side(entries, not spoil_x)
    if gallery is not None and draw(st.integers(0, 3)) == 0:
        gallery, entries = _of_the_batch(draw, x)
    columns = size if gallery is None else entries
    names = _names(draw, rng)
    classes = 2 if many else draw(st.integers(1, 8))
    self_index = exclude = None
    if columns and draw(st.booleans()):
        self_index = torch.as_tensor(rng.integers(-1, columns, size))
    if draw(st.booleans()):
        share = draw(st.sampled_from([0.1, 0.1, 0.6, 1.0]))
        exclude = torch.as_tensor(rng.random((size, columns)) < share)
        exclude = draw(
            st.sampled_from(
                [lambda m: m, lambda m: m.T.contiguous().T, lambda m: m[:1].expand_as(m)]
            )
        )(exclude)
    return Problem(
        loss=loss,
        options=at_scale(
            draw(st.sampled_from(OPTIONS[loss])), exponent if draw(st.booleans()) else 0
        ),
        normalize=draw(st.booleans()),
        reduction=draw(st.sampled_from(["mean", "sum", "none"])),
        x=x,
        labels=names[torch.as_tensor(rng.integers(0, classes, size))],
        gallery=gallery,
        gallery_labels=None
        if gallery is None
        else names[torch.as_tensor(rng.integers(0, classes, entries))],
        self_index=self_index,
        exclude=exclude,
    )


def limits(dtype):
    """Numbers that stay finite in the type, and whose distances do."""
    most = torch.finfo(dtype).max / 16 if dtype != F16 else torch.finfo(dtype).max
    return -most, most


def _of_the_batch(draw, x):
    """A gallery that is memory of the batch: all of it, its end, or its rows in other places."""
    gallery = draw(
        st.sampled_from(
            [lambda t: t, lambda t: t[..., t.shape[-2] // 2 :, :], lambda t: t[..., ::2, :]]
        )
    )(x)
    return gallery, gallery.shape[-2]


def _names(draw, rng):
    """Eight labels of any type of integers."""
    dtype = draw(st.sampled_from([torch.int64, torch.int64, torch.int32, torch.int8, torch.uint8]))
    low, high = torch.iinfo(dtype).min, torch.iinfo(dtype).max
    return torch.tensor([low, high, 0, 1, 2, 3, high - 1, 100], dtype=dtype)


def at_scale(options, exponent):
    """Parameters that are lengths, for rows scaled by 2^exponent."""
    scale = 2.0 ** max(-100, min(100, exponent))  # still a number of float32
    powers = dict.fromkeys(LENGTHS, scale) | dict.fromkeys(INVERSE_LENGTHS, 1 / scale)
    return {
        name: value * powers[name] if name in powers and value is not None else value
        for name, value in options.items()
    }
