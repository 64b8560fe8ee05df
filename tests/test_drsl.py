"""The whole loss, all named cases: both implementations against the oracle, and against each other."""

import pytest
import torch

import drsl_cuda
import oracle
from cases import names
from drsl_cuda import functional
from running import check_against_oracle, loss_and_grads
from tolerances import BF16, CONTRACT, F16, F32, F64, SAME, UNDERFLOW, assert_close

BACKENDS = ("native", "reference")
TYPES = {"float64": F64, "float32": F32, "float16": F16, "bfloat16": BF16}
EVERY_CASE = [
    pytest.param(name, dtype, id=f"{name}-{label}")
    for label, dtype in TYPES.items()
    for name in names(dtype=dtype)
]
# Each reduction has a path of its own to the gradient: one typical case and the awkward ones.
REDUCED = ("pk_8x4", "size_130", "gallery", "bank_excluded", "sets_masks", "no_positives", "normalize",
           "excluded_rows", "empty_batch", "queries_empty", "gallery_empty", "zero_rows")  # fmt: skip


@pytest.mark.parametrize("name, dtype", EVERY_CASE)
@pytest.mark.parametrize("backend", BACKENDS)
def test_matches_the_oracle(name, dtype, backend, device):
    check_against_oracle(name, dtype, backend=backend, device=device)


@pytest.mark.parametrize("reduction", ["sum", "none"])
@pytest.mark.parametrize("name", REDUCED)
@pytest.mark.parametrize("dtype", [F64, F32], ids=str)
@pytest.mark.parametrize("backend", BACKENDS)
def test_every_reduction_matches_the_oracle(name, reduction, dtype, backend, device):
    check_against_oracle(name, dtype, backend=backend, device=device, reduction=reduction)


def rows(*shape, seed, dtype, device):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=F64).to(device, dtype)


# Larger than the oracle can do in reasonable time: (B, G or None, D, classes, sets or None).
LARGE = {
    "batch_700": (700, None, 96, 90, None),
    "batch_of_two_classes": (280, None, 4, 2, None),
    "gallery_3000": (50, 3000, 32, 150, None),
    "gallery_shorter_than_batch": (600, 90, 24, 30, None),
    "parts_6": (150, None, 48, 40, 6),
}


def large_problem(name, dtype, device, seed=0):
    size, entries, dim, classes, sets = LARGE[name]
    lead = () if sets is None else (sets,)
    x = rows(*lead, size, dim, seed=seed, dtype=dtype, device=device)
    labels = torch.arange(size, device=device) % classes
    gallery = gallery_labels = None
    if entries is not None:
        gallery = rows(*lead, entries, dim, seed=seed + 1, dtype=dtype, device=device)
        gallery_labels = torch.arange(entries, device=device) % classes
    return x, labels, gallery, gallery_labels


@pytest.mark.parametrize("name", LARGE)
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_native_matches_the_reference_on_large_problems(name, reduction, device):
    # float64, where rounding cannot turn a decision; the reductions differ in their backward path.
    problem = large_problem(name, F64, device)
    weight = None
    if reduction == "none":
        weight = rows(*problem[0].shape[:-1], seed=9, dtype=F64, device=device)
    native = loss_and_grads(*problem, reduction=reduction, weight=weight)
    reference = loss_and_grads(*problem, reduction=reduction, weight=weight, backend="reference")
    for got, wanted, what in zip(native, reference, ("loss", "embeddings", "gallery"), strict=True):
        if wanted is not None:
            assert_close(got, wanted, SAME[F64].grad, what=what)


@pytest.mark.parametrize("dtype", [F32, F16, BF16], ids=str)
@pytest.mark.parametrize("name", ["batch_700", "gallery_3000"])
def test_native_matches_the_reference_in_low_precision(name, dtype, device):
    # The sort term is left out: thousands of y per row include near-ties, where the loss jumps.
    problem = large_problem(name, dtype, device)
    native = loss_and_grads(*problem, sort_weight=0.0)
    reference = loss_and_grads(*problem, sort_weight=0.0, backend="reference")
    assert_close(native[0], reference[0], SAME[F32].loss, what="loss")
    # Each side is rounded to the type on its own, so the difference may be twice one rounding.
    tolerance = max(2 * CONTRACT[dtype].grad, SAME[F32].grad)
    for got, wanted, what in zip(native[1:], reference[1:], ("embeddings", "gallery"), strict=True):
        if wanted is not None:
            assert_close(got, wanted, tolerance, floor=2 * UNDERFLOW[dtype], what=what)


@pytest.mark.parametrize("dtype, size", [(F64, 4200), (F32, 5900)], ids=["float64", "float32"])
def test_a_batch_too_large_for_its_matrix_matches_the_oracle(dtype, size, device):
    # All rows are queries, but only 6 carry weight: these the oracle can afford. In float32 the sort
    # term is left out, as among thousands of y there are near-ties.
    x = rows(size, 3, seed=4, dtype=F32, device=device).to(dtype)
    labels = torch.arange(size, device=device) % (size // 5)
    asked = torch.arange(3, size, size // 5, device=device)
    assert "triangle" not in drsl_cuda.explain(x.clone().requires_grad_(), labels).path
    weight = torch.zeros(size, device=device, dtype=dtype)
    weight[asked] = torch.linspace(-1, 2, len(asked), device=device, dtype=dtype)
    options = {"sort_weight": 1.0 if dtype == F64 else 0.0}
    loss, grad, _ = loss_and_grads(x, labels, reduction="none", weight=weight, **options)
    every, names, some = x.cpu().double().numpy(), labels.cpu().numpy(), asked.cpu().numpy()
    weights = (1.0, options["sort_weight"], 1.0)
    wanted = oracle.drsl(every[some], names[some], every, names, self_index=some, weights=weights)
    assert_close(loss[asked], wanted.loss, CONTRACT[dtype].loss)
    side_x, side_r = wanted.grad_inputs(weight[asked].cpu().double().numpy())
    side_r[some] += side_x
    assert_close(grad, side_r, CONTRACT[dtype].grad)
    # The same batch reduced: gradients come with forward, another way through the same rows.
    total, summed, _ = loss_and_grads(x, labels, reduction="sum", **options)
    each, wanted_sum, _ = loss_and_grads(x, labels, reduction="none", **options)
    assert_close(total, each.double().sum(), SAME[dtype].loss)
    assert_close(summed, wanted_sum, SAME[dtype].grad)


@pytest.mark.parametrize("dtype", TYPES.values(), ids=TYPES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_loss_is_returned_in_the_accumulation_type(dtype, backend, device):
    x = rows(8, 5, seed=1, dtype=dtype, device=device).requires_grad_()
    labels = torch.arange(8, device=device) % 3
    loss, terms = functional.drsl_loss(x, labels, return_terms=True, backend=backend)
    wanted = F64 if dtype == F64 else F32
    assert loss.dtype == wanted
    assert [term.dtype for term in terms] == [wanted] * 3
    loss.backward()
    assert x.grad.dtype == dtype


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_the_loss_is_the_weighted_sum_of_its_terms(backend, reduction, device):
    x = rows(3, 20, 8, seed=2, dtype=F64, device=device).requires_grad_()
    labels = torch.arange(20, device=device) % 6
    weights = (0.5, 3.0, 1.25)
    named = dict(zip(("rank_weight", "sort_weight", "angle_weight"), weights, strict=True))
    loss, terms = functional.drsl_loss(
        x, labels, **named, reduction=reduction, return_terms=True, backend=backend
    )
    assert loss.requires_grad
    assert not any(term.requires_grad for term in terms)
    assert terms._fields == ("ranking", "sorting", "angle")
    assert all(term.shape == loss.shape and bool((term != 0).any()) for term in terms)
    total = sum(weight * term for weight, term in zip(weights, terms, strict=True))
    assert_close(loss, total, 1e-13, what="weighted sum")  # one rounding per addition


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("labels", [[0, 1, 2], [], [4]], ids=str)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_without_a_counting_query_the_loss_is_zero_and_attached(labels, reduction, backend, device):
    x = rows(len(labels), 4, seed=3, dtype=F32, device=device).requires_grad_()
    target = torch.tensor(labels, dtype=torch.int64, device=device)
    loss = functional.drsl_loss(x, target, reduction=reduction, backend=backend)
    assert loss.requires_grad
    assert loss.shape == ((len(labels),) if reduction == "none" else ())
    assert not loss.any()
    loss.sum().backward()
    assert torch.equal(x.grad, torch.zeros_like(x))
