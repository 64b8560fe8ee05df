"""FIDI, Smooth-AP and the batch-hard triplet by the CUDA kernels, run on host threads."""

import functools
import inspect

import pytest
import torch

from cases import build, names
from losses_table import LOSSES, TYPES, variants
from on_host_threads import ORDERS, launches, on_host_threads
from test_losses import AWKWARD, EVERY_CASE, check
from tolerances import F32, F64, SAME, assert_close

# All cases in float64, and in the other types those where types matter.
TYPED = (*AWKWARD, "size_33", "size_130", "dim_3", "extreme_2^60", "near_1e-3", "near_1e-4")
HERE = [case for case in EVERY_CASE if case[2] == "float64" or case[1] in TYPED]
FEW = ("uneven", "bank_partly_known", "sets_masks", "duplicates", "positives_65", "empty_batch")


@pytest.mark.parametrize(
    "loss, name, label, order",
    [(*case, ORDERS[turn % len(ORDERS)]) for turn, case in enumerate(HERE)],
)
def test_matches_the_oracle(loss, name, label, order):
    with on_host_threads(order):
        check(loss, {}, name, TYPES[label], backend="native", device="cpu")


@pytest.mark.sanitized
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("loss", LOSSES)
def test_every_order_of_threads_matches_the_oracle(loss, name, order):
    dtype = F32 if name in names(dtype=F32) else F64
    with on_host_threads(order):
        before = launches()
        check(loss, {}, name, dtype, backend="native", device="cpu", reduction="none")
        assert launches() > before or "empty" in name


@pytest.mark.parametrize("name", AWKWARD)
@pytest.mark.parametrize("loss, options", list(variants()), ids=str)
def test_every_variant_matches_the_oracle(loss, options, name):
    with on_host_threads("shuffle"):
        check(loss, options, name, F64, backend="native", device="cpu", reduction="sum")


# Shapes that the named cases are too small for: (B, G or None, D, classes). On host threads a batch of
# more than 512 is in memory, of more than 724 it streams; 17,000 columns are too many for shared memory.
LARGE = {
    "in_memory": (530, None, 12, 60),
    "streaming": (800, None, 6, 100),
    "gallery_of_two_classes": (20, 900, 7, 2),
    "long_rows": (3, 17000, 2, 150),
}


def problem(name, dtype, grad=True):
    size, entries, dim, classes = LARGE[name]
    generator = torch.Generator().manual_seed(size)
    x = torch.randn(size, dim, generator=generator, dtype=F64).to(dtype)
    gallery = others = None
    if entries:
        gallery = torch.randn(entries, dim, generator=generator, dtype=F64).to(dtype)
        others = torch.arange(entries) % classes
    leaves = [t.requires_grad_(grad) for t in (x, gallery) if t is not None]
    return (x, torch.arange(size) % classes, gallery, others), leaves


def value_and_gradients(loss, shape, backend):
    arguments, leaves = problem(shape, F64)
    value = LOSSES[loss].function(*arguments, backend=backend)
    value.backward()
    return value.detach(), *(leaf.grad for leaf in leaves)


@functools.cache
def by_the_reference(loss, shape):
    return value_and_gradients(loss, shape, "reference")


@pytest.mark.parametrize("order", ["warp", "reverse"])
@pytest.mark.parametrize("shape", LARGE)
@pytest.mark.parametrize("loss", LOSSES)
def test_large_problems_match_the_reference(loss, shape, order):
    with on_host_threads(order):
        results = value_and_gradients(loss, shape, "native")
    for got, wanted in zip(results, by_the_reference(loss, shape), strict=True):
        assert_close(got, wanted, SAME[F64].grad)


@pytest.mark.parametrize("shape", ["gallery_of_two_classes", "long_rows"])
@pytest.mark.parametrize("loss, options", list(variants()), ids=str)
def test_rows_of_given_distances_match_the_cpu(loss, options, shape):
    (x, labels, gallery, others), _ = problem(shape, F64, grad=False)
    own = torch.arange(len(x)) * 3 - 1
    rank_sort = torch.ops.drsl.rank_sort.default
    distance, cosine = torch.ops.drsl.pairwise(x, gallery)
    values = {**row_defaults(loss), **options}
    params = [float(v) for v in values.values() if v is not None]
    arguments = (distance, cosine, labels, others, own, None, loss, params)
    wanted = rank_sort(*arguments)
    with on_host_threads("warp"):
        got = rank_sort(*arguments)
    for a, b in zip(got, wanted, strict=True):
        assert_close(a, b, 1e-11)  # the orders of some thousand additions differ
    assert bool(wanted[0].any())


def row_defaults(loss):
    signature = inspect.signature(LOSSES[loss].function).parameters
    return {name: signature[name].default for name in LOSSES[loss].settings}


@pytest.mark.parametrize("loss", LOSSES)
def test_nan_reaches_whoever_compares_with_it(loss):
    x = build("pk_8x4").x.float()
    x[5] = torch.nan
    labels = build("pk_8x4").labels
    exclude = torch.zeros(len(x), len(x), dtype=torch.bool)
    exclude[:10, 5] = exclude[5, :10] = True
    results = []
    for backend in ("native", "reference"):
        leaf = x.clone().requires_grad_()
        with on_host_threads("forward"):
            value = LOSSES[loss].function(
                leaf, labels, exclude=exclude, reduction="none", backend=backend
            )
            value.sum().backward()
        results.append((value.detach(), leaf.grad))
    for got, wanted in zip(*results, strict=True):
        assert torch.equal(got.isnan(), wanted.isnan())
        assert bool(wanted.isnan().any())
