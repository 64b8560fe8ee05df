"""The CUDA kernels, run on host threads (on_host_threads.py), against the oracle and against themselves
with threads that take turns in other orders.

Every other test can be run by these kernels too: pytest --on-host-threads=warp tests/test_pairwise.py.
"""

import functools

import numpy as np
import pytest
import torch

import oracle
from cases import build, names
from drsl_cuda import functional
from on_host_threads import OPERATORS, ORDERS, has_kernels, launches, on_host_threads
from running import arguments, check_against_oracle, loss_and_grads
from tolerances import (
    BF16,
    CONTRACT,
    COSINE,
    DISTANCE,
    F16,
    F32,
    F64,
    ROUNDING,
    SAME,
    UNDERFLOW,
    assert_close,
    cosine_floor,
)

TYPES = {"float64": F64, "float32": F32, "float16": F16, "bfloat16": BF16}

# Of every kind of problem one; these run in all orders and under the sanitizers.
FEW = ("pk_8x4", "uneven", "no_positives", "empty_batch", "size_1", "size_33", "size_130", "dim_3", "dim_100",
       "positives_65", "delta_0.0", "normalize", "extreme_2^60", "near_1e-3", "duplicates", "zero_rows",
       "gallery", "bank_excluded", "sets_masks", "queries_empty", "gallery_empty")  # fmt: skip


def needs(*operators):
    missing = [name for name in operators if not has_kernels(name)]
    if missing:
        pytest.skip(f"csrc/cuda has no {' and no '.join(missing)}")


def every_case():
    """Each case in each of its types once; the orders take turns."""
    turn = 0
    for label, dtype in TYPES.items():
        for name in names(dtype=dtype):
            order = ORDERS[turn % len(ORDERS)]
            turn += 1
            yield pytest.param(name, dtype, order, id=f"{name}-{label}-{order}")


def few_cases():
    for order in ORDERS:
        for name in FEW:
            dtype = F32 if name in names(dtype=F32) else F64
            yield pytest.param(name, dtype, order, id=f"{name}-{str(dtype)[6:]}-{order}")


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_operator_has_kernels(operator):
    assert has_kernels(operator)


@pytest.mark.parametrize("name, dtype, order", list(every_case()))
def test_matches_the_oracle(name, dtype, order):
    needs("embedding_loss")
    with on_host_threads(order):
        check_against_oracle(name, dtype, backend="native")


@pytest.mark.sanitized
@pytest.mark.parametrize("name, dtype, order", list(few_cases()))
def test_matches_the_oracle_in_every_order(name, dtype, order):
    needs("embedding_loss")
    with on_host_threads(order):
        before = launches()
        check_against_oracle(name, dtype, backend="native", reduction="none")
        assert launches() > before or "empty" in name


# Shapes that the named cases are too small for: (B, G or None, D, classes). Beyond 512 rows a batch is
# no longer small; thousands of positives are sorted.
LARGE = {
    "in_memory": (530, None, 20, 60),
    "in_memory_of_few_classes": (520, None, 5, 3),
    "streaming": (800, None, 8, 100),  # a block of 128 queries at a time, as limits are here
    "gallery": (150, 900, 36, 40),
    "gallery_of_two_classes": (20, 1500, 7, 2),
}


def large_problem(name, dtype):
    size, entries, dim, classes = LARGE[name]
    generator = torch.Generator().manual_seed(size)
    x = torch.randn(size, dim, generator=generator, dtype=F64).to(dtype)
    labels = torch.arange(size) % classes
    gallery = others = None
    if entries is not None:
        gallery = torch.randn(entries, dim, generator=generator, dtype=F64).to(dtype)
        others = torch.arange(entries) % classes
    return x, labels, gallery, others


@functools.cache
def by_the_reference(name, dtype, **options):
    return loss_and_grads(*large_problem(name, dtype), backend="reference", **options)


def against_the_reference(name, dtype, order, **options):
    wanted = by_the_reference(name, dtype, **options)
    with on_host_threads(order):
        got = loss_and_grads(*large_problem(name, dtype), **options)
    for value, other in zip(got, wanted, strict=True):
        if other is not None:
            yield value, other


@pytest.mark.parametrize(
    "name, order",
    [(n, o) for n in LARGE for o in (ORDERS if n != "in_memory_of_few_classes" else ("warp",))],
)
def test_large_problems_match_the_reference(name, order):
    needs("embedding_loss")
    for got, wanted in against_the_reference(name, F64, order):
        assert_close(got, wanted, SAME[F64].grad)


@pytest.mark.parametrize("dtype", [F32, F16, BF16], ids=str)
@pytest.mark.parametrize("name", ["in_memory", "gallery"])
def test_large_problems_match_the_reference_in_low_precision(name, dtype):
    # Without the sort term: among hundreds of y there are near-ties, where the loss jumps.
    needs("embedding_loss")
    tolerance = max(2 * CONTRACT[dtype].grad, SAME[F32].grad)  # each side is rounded by itself
    for got, wanted in against_the_reference(name, dtype, "warp", sort_weight=0.0):
        assert_close(got, wanted, tolerance, floor=2 * UNDERFLOW[dtype])


@pytest.mark.sanitized
@pytest.mark.parametrize(
    "dtype, order", [(F64, "warp"), (F32, "shuffle"), (BF16, "reverse")], ids=str
)
def test_few_queries_share_many_terms_among_blocks(dtype, order):
    # Each block adds up a gradient of its own over some 512 entries; from 400 to 1100 nobody is near
    # enough to count, so that a whole share is empty. Some pairs are near, one row is not finite.
    needs("embedding_loss")
    generator = torch.Generator().manual_seed(8)
    x = torch.randn(5, 9, generator=generator)
    gallery = torch.randn(1700, 9, generator=generator)
    gallery[:5] = x + 1e-3 * gallery[:5]
    gallery[400:1100] *= 30
    gallery[1650, 3] = torch.nan
    labels, others = torch.arange(5) % 3, torch.arange(1700) % 40
    others[400:1100] = 50  # nobody's positives
    exclude = torch.zeros(5, 1700, dtype=torch.bool)
    exclude[:, 1650] = True
    problem = x.to(dtype), labels, gallery.to(dtype), others
    options = {"exclude": exclude, "sort_weight": 0.0, "delta": 0.05}
    wanted = loss_and_grads(*problem, backend="reference", **options)
    with on_host_threads(order):
        before = launches()
        got = loss_and_grads(*problem, **options)
        assert launches() > before
    tolerance = max(2 * CONTRACT[dtype].grad, SAME[F32].grad if dtype != F64 else 0)
    for value, other in zip(got, wanted, strict=True):
        assert_close(value, other, tolerance, floor=2 * UNDERFLOW.get(dtype, 0))


def problem(dtype):
    """64-bit numbers of threads times columns are few here; tails, masks, near pairs, ties are not."""
    rng = np.random.default_rng(3)
    x = torch.as_tensor(rng.standard_normal((2, 150, 40)))
    x[:, 20:30] = x[:, :10]  # duplicates
    x[:, 30:40] = x[:, :10] + 1e-4 * x[:, 40:50]
    x[:, 50] = 0
    return x.to(dtype), torch.as_tensor(rng.integers(0, 9, 150))


def everything(dtype, normalize):
    x, labels = problem(dtype)
    x.requires_grad_()
    gallery = x.detach()[:, :77].clone().requires_grad_()
    outputs = []
    for r, r_labels in ((None, None), (gallery, labels[:77])):
        loss = functional.drsl_loss(x, labels, r, r_labels, normalize=normalize, backend="native")
        outputs += [loss, *torch.autograd.grad(loss, [x] if r is None else [x, r])]
        pairs = functional.pairwise_distance_angle(x, r)
        outputs += pairs
        outputs += torch.autograd.grad(pairs[0].sum() + pairs[1].sum(), x)
    return outputs


@pytest.mark.sanitized
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("dtype", TYPES.values(), ids=TYPES)
def test_all_orders_give_the_same_bits(dtype, normalize):
    # Sums are formed in a fixed order: what depends on who comes first is a race.
    needs("embedding_loss", "pairwise", "redistribute")
    with on_host_threads("forward"):
        wanted = everything(dtype, normalize)
    for order in ORDERS[1:]:
        with on_host_threads(order, os_threads=2):
            for k, (got, first) in enumerate(
                zip(everything(dtype, normalize), wanted, strict=True)
            ):
                assert torch.equal(got.nan_to_num(1e30), first.nan_to_num(1e30)), (order, k)


@pytest.mark.parametrize(
    "dtype, dim", [(F16, 24), (F16, 160), (BF16, 24), (F32, 24), (F64, 24)], ids=str
)
def test_where_blocks_have_little_shared_memory_smaller_tiles_give_the_same_bits(dtype, dim):
    # 99 KB, as on GPUs of compute capability 8.6, 8.9 and 12: asking for more is an error. 256 sets are
    # as many tiles as large tiles want.
    needs("pairwise", "redistribute")
    x = torch.randn(256, 5, dim, generator=torch.Generator().manual_seed(7)).to(dtype)
    results = []
    for most_shared in (0, 99 << 10):
        leaf = x.clone().requires_grad_()
        with on_host_threads(most_shared=most_shared):
            distance, cosine = functional.pairwise_distance_angle(leaf)
            (distance.sum() + cosine.square().sum()).backward()
        results.append((distance, cosine, leaf.grad))
    for large, small in zip(*results, strict=True):
        assert torch.equal(large, small)


PAIRS = ("size_33", "size_130", "dim_1", "dim_100", "extreme_2^60", "near_1e-4", "duplicates", "zero_rows",
         "gallery", "gallery_wide", "gallery_empty", "empty_batch")  # fmt: skip


@pytest.mark.sanitized
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", [F64, F32], ids=str)
@pytest.mark.parametrize("name", PAIRS)
def test_pairs_and_their_derivative_match_the_oracle(name, dtype, order):
    needs("pairwise", "redistribute")
    c = build(name)
    if c.x.ndim == 3:
        pytest.skip("the oracle takes one set at a time")
    (x, _, gallery, _), _ = arguments(c, dtype)
    plain = c.x.numpy(), None if c.gallery is None else c.gallery.numpy()
    label = str(dtype).removeprefix("torch.")
    with on_host_threads(order):
        distance, cosine = functional.pairwise_distance_angle(x, gallery)
        wanted = oracle.pairwise(*plain, label)
        np.testing.assert_allclose(distance.detach(), wanted[0], rtol=DISTANCE[dtype], atol=0)
        np.testing.assert_allclose(cosine.detach(), wanted[1], rtol=0, atol=COSINE[dtype])
        if "near_" in name:
            return  # tests/test_redistribute.py
        by_cos = np.random.default_rng(1).standard_normal(wanted[1].shape)
        inputs = [x] if gallery is None else [x, gallery]
        got = torch.autograd.grad(cosine, inputs, torch.as_tensor(by_cos).to(dtype))
    sides = oracle.redistribute(0 * by_cos, by_cos, *plain, label)
    sides = [sides[0] + sides[1]] if gallery is None else sides
    floor = cosine_floor(by_cos, plain[0], ROUNDING[dtype])
    for value, side in zip(got, sides, strict=True):
        assert_close(value, side, CONTRACT[dtype].grad, floor=floor)


@pytest.mark.sanitized
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", [F64, F32], ids=str)
def test_rank_sort_matches_the_oracle(dtype, order):
    needs("rank_sort")
    rng = np.random.default_rng(4)
    distance = rng.integers(0, 2**7, (5, 300)) / 2.0**5
    cosine = np.argsort(rng.random((5, 300)), axis=1) / 2.0**10
    labels, others = rng.integers(0, 3, 5), rng.integers(0, 3, 300)
    placed = [torch.as_tensor(a).to(dtype) for a in (distance, cosine)]
    placed += [torch.as_tensor(a) for a in (labels, others)]
    with on_host_threads(order):
        got = torch.ops.drsl.rank_sort(*placed, None, None, "drsl", [0.5, 1.0, 1.0, 1.0])
    with_cpu = torch.ops.drsl.rank_sort(
        placed[0].double(),
        placed[1].double(),
        *placed[2:],
        None,
        None,
        "drsl",
        [0.5, 1.0, 1.0, 1.0],
    )
    for value, wanted in zip(got, with_cpu, strict=True):
        assert_close(value, wanted, CONTRACT[dtype].grad)
