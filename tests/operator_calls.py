"""Bytes → a call of an operator below the Python checks, as a fuzzer makes them up.

Most calls are right ones; now and then a tensor has another rank, size, type, device or layout, holds
what it should not, or a number is out of range. No bytes at all make a right call of the first
operator. `check` runs a call and says what any of them has to keep, right or wrong:

- it returns, or raises RuntimeError with words of ours or of torch's about memory;
- twice the same call gives the same bits, though the first found its results' memory full of NaN;
- inputs are left as they were, and results share no memory with them;
- with a tensor on the meta device, one that holds no numbers, nothing is computed.
"""

import numpy as np
import torch

OPERATORS = (
    "pairwise",
    "rank_sort",
    "redistribute",
    "embedding_loss",
    "rank_sort_loss",
    "ap_loss",
    "alrp_loss",
    "match_tiles",
    "match_rows",
    "squared_lengths",
)
SIZES = (4, 0, 1, 2, 3, 7, 16, 33, 65, 130, 200)
DIMS = (3, 0, 1, 2, 4, 16, 17, 64, 70)
LENGTHS = (6, 0, 1, 2, 31, 64, 130, 600, 1500)
FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
OTHER_TYPES = (torch.float64, torch.float32, torch.int64, torch.bool, torch.complex64, torch.uint16)
EXTREMES = (0.0, -1.0, 1e-300, 5e-324, 1e30, 1e308, float("inf"), float("-inf"), float("nan"))
HUGE = (2**40, 2**62)
LOSSES = (
    ("drsl", (0.5, 1.0, 1.0, 1.0)),
    ("drsl", (0.0, 1.0, 0.5, 0.0)),
    ("fidi", (1.05, 0.5)),
    ("smooth_ap", (0.01, 0.0)),
    ("smooth_ap", (0.3, 1.0)),
    ("batch_hard_triplet", (0.3,)),
    ("batch_hard_triplet", ()),
)


class Source:
    """Bytes, one choice each; zeros when they have come to their end."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def byte(self):
        self.at += 1
        return self.data[self.at - 1] if self.at <= len(self.data) else 0

    def pick(self, options):
        return options[self.byte() % len(options)]

    def rarely(self):
        return self.byte() % 16 == 15

    def flag(self):
        return self.byte() % 2 == 1


class Maker:
    """Arguments that fit one problem, but for what goes wrong on purpose."""

    def __init__(self, source):
        self.source = source
        self.rng = np.random.default_rng(source.byte())
        self.earlier = []  # tensors that a later one may share memory with

    def sizes(self, options, count):
        return [self.source.pick(options) for _ in range(count)]

    def floats(self, dtype, *shape, turned=lambda values: values):
        """Numbers; `turned` makes them what the operator would be given."""
        values = self.rng.standard_normal(shape)
        kind = self.source.byte() % 12
        if kind == 1:  # ties
            values = np.round(values)
        elif kind == 2:
            values = np.zeros(shape)
        elif kind == 3:
            values = values * self.source.pick((1e-30, 1e30, 1e-300, 1e300))
        elif kind == 4:  # copies of the first row
            values[...] = values[..., :1, :] if len(shape) > 1 and shape[-2] else values
        elif kind == 5 and values.size:
            some = self.rng.random(shape) < self.source.pick((0.02, 0.5, 1.0))
            values[some] = self.source.pick(EXTREMES)
        elif kind == 6:  # a common centre
            values += 100.0
        return self.laid_out(torch.as_tensor(turned(values)).to(dtype))

    def integers(self, low, high, *shape, dtype=None):
        """In [low, high), unless something is wrong."""
        values = self.rng.integers(low, max(high, low + 1), shape)
        if self.source.rarely() and values.size:
            values.flat[-1] = self.source.pick((high, low - 1, -1, 2**31, -(2**63), 2**63 - 1))
        dtype = self.source.pick(INTEGERS) if dtype is None else dtype
        return self.laid_out(torch.as_tensor(values).to(dtype))

    def bools(self, *shape):
        return self.laid_out(torch.as_tensor(self.rng.random(shape) < 0.2))

    def laid_out(self, t):
        """The tensor in another layout, or another tensor."""
        kind = self.source.byte()
        if kind < 160:
            pass
        elif kind < 176:  # transposed memory
            t = t.T.contiguous().T if t.dim() == 2 else t
        elif kind < 192:  # every second number, not at the beginning
            wide = t.new_zeros(*t.shape[:-1], 2 * t.shape[-1] + 1) if t.dim() else t
            t = wide[..., 1::2].copy_(t) if t.dim() else t
        elif kind < 200:  # one number for all
            t = t.flatten()[:1].expand(t.shape) if t.numel() else t
        elif kind < 210:
            t = self.shared(t)
        else:
            t = self.wrong(t, kind)
        self.earlier.append(t)
        return t

    def shared(self, t):
        """The same memory as an earlier tensor, where the type is the same."""
        for other in self.earlier:
            fits = other.layout is torch.strided and other.numel() >= t.numel()
            if fits and other.dtype == t.dtype and not other.is_meta and other.numel() < 2**20:
                return other.reshape(-1)[: t.numel()].view(t.shape)
        return t

    def wrong(self, t, kind):
        if kind < 216:
            return t[None]
        if kind < 222:
            return t[0] if t.dim() and t.shape[0] else t.new_zeros(())
        if kind < 228 and t.dim():
            return torch.cat([t, t], dim=self.source.byte() % t.dim())
        if kind < 234 and t.dim():
            return t.narrow(self.source.byte() % t.dim(), 0, 0)
        if kind < 242:
            return t.to(self.source.pick(OTHER_TYPES))
        if kind < 248:
            return t.to("meta")
        if kind < 251:  # without numbers, but of a size that nothing could hold
            shape = list(t.shape) or [0]
            shape[self.source.byte() % len(shape)] = self.source.pick(HUGE)
            shape[self.source.byte() % len(shape)] = 0
            return _attempt(t.new_empty, shape, t)
        if kind < 253 and t.numel() and t.dim():  # the same number over and over
            shape = list(t.shape)
            shape[self.source.byte() % len(shape)] = self.source.pick(HUGE)
            return _attempt(t.flatten()[0].expand, shape, t)
        return t.to_sparse() if t.dim() else t

    def maybe(self, tensor):
        """None where it should be there is as wrong as the other way round."""
        return None if self.source.rarely() else tensor()

    def number(self, usual):
        return self.source.pick(EXTREMES) if self.source.rarely() else float(usual)

    def loss(self):
        name, params = self.source.pick(LOSSES)
        params = [self.number(p) for p in params]
        if self.source.rarely():
            name = self.source.pick(("", "drsl", "fidi", "smooth_ap", "none"))
        return name, params


def _attempt(make, shape, otherwise):
    try:
        return make(shape)
    except RuntimeError:  # torch itself says that there is no such tensor
        return otherwise


def decode(data):
    """(name of an operator, arguments, number of threads)"""
    source = Source(bytes(data))
    first = source.byte()
    name = OPERATORS[first % len(OPERATORS)]
    threads = (1, 1, 2, 3)[first // len(OPERATORS) % 4]
    return name, globals()[f"_{name}"](Maker(source), source), threads


def _embeddings(make, source):
    """Type, leading dimensions, B, whether there is a gallery, G, D."""
    sets = source.pick(((), (), (1,), (2,), (0,)))
    B, G = make.sizes(SIZES, 2)
    D = source.pick(DIMS)
    gallery = source.flag()
    return source.pick(FLOATS), sets, B, gallery, G if gallery else B, D


def _selection(make, source, B, gallery, G):
    classes = source.pick((2, 1, 5, 100))
    labels = make.integers(0, classes, B)
    gallery_labels = make.integers(0, classes, G) if gallery != source.rarely() else None
    self_index = make.integers(-1, G, B) if source.flag() else None
    exclude = make.bools(B, G) if source.flag() else None
    return labels, gallery_labels, self_index, exclude


def _pairwise(make, source):
    dtype, sets, B, gallery, G, D = _embeddings(make, source)
    x = make.floats(dtype, *sets, B, D)
    return (
        x,
        make.maybe(lambda: make.floats(dtype, *sets, G, D)) if gallery else None,
        source.flag(),
    )


def _rank_sort(make, source):
    _, sets, B, gallery, G, _ = _embeddings(make, source)
    dtype = source.pick(FLOATS[:2])
    usual = {"turned": np.abs}, {"turned": lambda v: np.clip(v, -1, 1)}
    usual = ({}, {}) if source.flag() else usual  # any numbers, or such as there are
    distance, cosine = (make.floats(dtype, *sets, B, G, **turned) for turned in usual)
    return distance, cosine, *_selection(make, source, B, gallery, G), *make.loss()


def _redistribute(make, source):
    dtype, sets, B, gallery, G, D = _embeddings(make, source)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    matrices = [make.floats(wide, *sets, B, G) for _ in range(4)]
    x = make.floats(dtype, *sets, B, D)
    return *matrices, x, make.floats(dtype, *sets, G, D) if gallery else None, source.flag()


def _embedding_loss(make, source):
    dtype, sets, B, gallery, G, D = _embeddings(make, source)
    x = make.floats(dtype, *sets, B, D)
    r = make.floats(dtype, *sets, G, D) if gallery else None
    labels, *others = _selection(make, source, B, gallery, G)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    weight = make.floats(wide, *sets, B) if source.byte() % 4 == 3 else None
    name, params = make.loss()
    reduction = source.pick((1, 0, 2, 1, 0, 2, 3, -1, 2**40))
    flags = [source.flag() for _ in range(4)]  # normalize, grad_x, grad_gallery, tf32
    return x, labels, r, *others, weight, name, params, flags[0], reduction, *flags[1:]


def _scores(make, source):
    shape = (*source.pick(((), (), (1,), (3,), (0,))), source.pick(LENGTHS))
    dtype = source.pick(FLOATS[:2])
    scores = make.floats(dtype, *shape)
    if source.byte() % 4 == 3:  # any numbers, or labels
        targets = make.floats(dtype, *shape)
    else:
        least = source.pick((1.0, 0.0, 3.0))
        targets = make.floats(dtype, *shape, turned=lambda v: np.float64(v > least))
    return shape, dtype, scores, targets, make.number(source.pick((1.0, 0.0, 0.5)))


def _rank_sort_loss(make, source):
    return *_scores(make, source)[2:], source.flag(), source.flag()


def _ap_loss(make, source):
    return *_scores(make, source)[2:], source.flag(), source.flag()


def _alrp_loss(make, source):
    shape, dtype, scores, targets, delta = _scores(make, source)
    if len(shape) == 1 and _small(targets) and targets.dtype == dtype:
        shape = (int((targets > 0).sum()),)
    return scores, targets, make.floats(dtype, *shape), delta, source.flag()


def _retrieval(make, source, most_equal):
    """Numbers of queries, entries and terms, the type; features, norms and lists."""
    B, G = make.sizes(SIZES, 2)
    D, dtype = source.pick(DIMS), source.pick(FLOATS[:2])
    x, gallery = make.floats(dtype, B, D), make.floats(dtype, G, D)
    norms = [make.floats(torch.float64, n, turned=np.abs) for n in (B, G)]
    fit = source.flag() and all(
        _small(t) and (t.dtype, t.shape) == (dtype, (n, D)) for t, n in ((x, B), (gallery, G))
    )
    if fit:  # as they would be
        norms = [t.double().square().sum(-1) for t in (x, gallery)]
    first = make.integers(0, max(1, most_equal or G), G, dtype=torch.int32)
    if not source.rarely():  # a right one
        first = torch.arange(G, dtype=torch.int32) % (most_equal or max(G, 1))
    by_identity = make.integers(0, G, G, dtype=torch.int32)
    begin = make.integers(0, max(G // 2, 1), B, dtype=torch.int64)
    end = make.integers(G // 2, G + 1, B, dtype=torch.int64)
    cameras = [None, None]
    if source.flag():
        cameras = [
            make.maybe(lambda n=n: make.integers(0, 2, n, dtype=torch.int64)) for n in (B, G)
        ]
    return (B, G, D, dtype, fit), (x, gallery, *norms, first, by_identity, begin, end, *cameras)


def _match_tiles(make, source):
    height, width = source.pick((2, 1, 64, 2**62)), source.pick((3, 1, 70, 2**31 - 1))
    if source.rarely():
        height, width = source.pick(((0, width), (height, -1), (-(2**63), 0)))
    (B, G, D, dtype, fit), given = _retrieval(make, source, width)
    if fit and source.flag():
        operands = given[:2]
    else:
        operands = make.floats(dtype, B, D), make.floats(dtype, G, D)
    parts = source.pick((1, 2, 3, D)) if not source.rarely() else source.pick((2**62, 0, -1))
    limit = source.pick((-1, 0, 3, 2**62, -(2**63)))
    scale = make.number(source.pick((1.0, 2.0)))
    return (*operands, *given, scale, source.flag(), parts, height, width, limit)


def _match_rows(make, source):
    (B, G, _, _, fit), given = _retrieval(make, source, None)
    gram = make.floats(torch.float64, B, G)
    if fit and source.flag():
        gram = given[0].double() @ given[1].double().T
    return (gram, *given, source.flag())


def _squared_lengths(make, source):
    return (make.floats(source.pick(FLOATS[:2]), source.pick(SIZES), source.pick(DIMS)),)


# Ours, and those of torch's dispatcher.
WORDS = ("drsl: ", "drsl_cuda: ", "Could not run")


def run(name, arguments, namespace="drsl"):
    """Results, or the error. Any other exception than RuntimeError goes through."""
    try:
        results = getattr(getattr(torch.ops, namespace), name).default(*arguments)
    except RuntimeError as error:
        if not any(word in str(error) for word in WORDS):
            raise AssertionError(f"{name} does not say what is wrong: {error}") from error
        return error
    return results if isinstance(results, tuple) else (results,)


def _bits(t):
    """Something that equals itself, NaN included."""
    return t.clone(memory_format=torch.contiguous_format).flatten().view(torch.uint8)


def _small(t):
    return t.layout is torch.strided and not t.is_meta and t.numel() < 2**20


def check(name, arguments, namespace="drsl"):
    """Runs a call and raises AssertionError where it breaks what the top of this file promises."""
    given = [a for a in arguments if isinstance(a, torch.Tensor)]
    before = [a.clone() if _small(a) else None for a in given]
    torch.use_deterministic_algorithms(True)  # new memory is filled
    try:
        first = run(name, arguments, namespace)
    finally:
        torch.use_deterministic_algorithms(False)
    for a, kept in zip(given, before, strict=True):
        assert kept is None or torch.equal(_bits(a), _bits(kept)), f"{name} wrote to an input"
    if isinstance(first, RuntimeError):
        return first
    if all(t.is_meta for t in given):
        return first  # shapes and types, for tracing
    assert not any(t.is_meta for t in given), f"{name} computed without numbers"
    second = run(name, arguments, namespace)
    assert not isinstance(second, RuntimeError), f"{name} raised when called again: {second}"
    pointers = {a.untyped_storage().data_ptr() for a in given if a.numel()}
    for i, (one, other) in enumerate(zip(first, second, strict=True)):
        assert torch.equal(_bits(one), _bits(other)), (
            f"{name}: result {i} differs when called again"
        )
        assert not one.numel() or one.untyped_storage().data_ptr() not in pointers, (
            f"{name}: aliases"
        )
    return first
