"""Bytes → a call of an operator below the Python checks, as a fuzzer makes them up.

Most calls are right ones; now and then a tensor is wrong (made_up_tensors.py) or a number is out of
range. No bytes at all make a right call of the first operator. What every call has to keep, right or
wrong, is in operator_promises.py.
"""

import numpy as np
import torch

from made_up_tensors import FLOATS, Maker, Source, small

SIZES = (4, 0, 1, 2, 3, 7, 16, 33, 65, 130, 200)
DIMS = (3, 0, 1, 2, 4, 16, 17, 64, 70)
LENGTHS = (6, 0, 1, 2, 31, 64, 130, 600, 1500)


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
    if len(shape) == 1 and small(targets) and targets.dtype == dtype:
        shape = (int((targets > 0).sum()),)
    return scores, targets, make.floats(dtype, *shape), delta, source.flag()


def _retrieval(make, source, most_equal):
    """Numbers of queries, entries and terms, the type; features, norms and lists."""
    B, G = make.sizes(SIZES, 2)
    D, dtype = source.pick(DIMS), source.pick(FLOATS[:2])
    x, gallery = make.floats(dtype, B, D), make.floats(dtype, G, D)
    norms = [make.floats(torch.float64, n, turned=np.abs) for n in (B, G)]
    fit = source.flag() and all(
        small(t) and (t.dtype, t.shape) == (dtype, (n, D)) for t, n in ((x, B), (gallery, G))
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


# The first byte chooses by place: the inputs that are kept hold for this order, of ten.
CALLS = {
    "pairwise": _pairwise,
    "rank_sort": _rank_sort,
    "redistribute": _redistribute,
    "embedding_loss": _embedding_loss,
    "rank_sort_loss": _rank_sort_loss,
    "ap_loss": _ap_loss,
    "alrp_loss": _alrp_loss,
    "match_tiles": _match_tiles,
    "match_rows": _match_rows,
    "squared_lengths": _squared_lengths,
}


def decode(data):
    """(name of an operator, arguments, number of threads)"""
    source = Source(bytes(data))
    first = source.byte()
    name, arguments = list(CALLS.items())[first % len(CALLS)]
    threads = (1, 1, 2, 3)[first // len(CALLS) % 4]
    return name, arguments(Maker(source), source), threads
