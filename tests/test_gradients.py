"""The gradient is the true gradient of what the contract says it is."""

import numpy as np
import pytest
import torch

import oracle
from cases import build, expected
from drsl_cuda import functional, reference
from running import evaluate, loss_and_grads
from tolerances import CONTRACT, F32, F64, GRADCHECK, ZERO_SUM, assert_close

PAIRWISE = {
    "native": functional.pairwise_distance_angle,
    "reference": reference.pairwise_distance_angle,
}


def rows(*shape, seed, device="cpu"):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=F64).to(device).requires_grad_()


@pytest.mark.parametrize("implementation", PAIRWISE)
@pytest.mark.parametrize(
    "shapes", [[(5, 3)], [(4, 2), (6, 2)], [(2, 3, 4)], [(2, 3, 4), (2, 5, 4)], [(9, 1)]], ids=str
)
def test_gradcheck_of_distance_and_cosine(implementation, shapes, device):
    inputs = [rows(*shape, seed=k, device=device) for k, shape in enumerate(shapes)]
    assert torch.autograd.gradcheck(PAIRWISE[implementation], inputs, **GRADCHECK)


def rows_of(c):
    return c.x.numpy(), None if c.gallery is None else c.gallery.numpy()


def groups_of(c):
    """(query, its positives and negatives) of those with a positive."""
    labels = c.labels.numpy()
    own = np.arange(len(labels)) if c.gallery is None else np.full(len(labels), -1)
    own = own if c.self_index is None else c.self_index.numpy()
    others = labels if c.gallery is None else c.gallery_labels.numpy()
    exclude = None if c.exclude is None else c.exclude.numpy()
    groups = [oracle.partners(q, labels, others, own, exclude) for q in range(len(labels))]
    return [(q, some) for q, some in enumerate(groups) if len(some[0])]


def surrogate(c, moved, at):
    """Mean of the frozen surrogate at rows `moved`, the hats taken at rows `at`; each (x, gallery)."""
    d, cos = oracle.pairwise(*moved)
    at_d, at_cos = oracle.pairwise(*at)
    values = []
    for q, groups in groups_of(c):
        y, at_y = (1 + cos[q]) / 2, (1 + at_cos[q]) / 2
        values.append(oracle.drsl_surrogate(d[q], y, at_d[q], at_y, *groups, c.delta, c.weights))
    return sum(values) / max(1, len(values))


SURROGATE_CASES = ("pk_8x4", "uneven", "wide_K16", "delta_0.0", "delta_5.0", "weights_mixed", "weights_sort",
                   "weights_angle", "weights_rank", "gallery", "bank_excluded", "excluded_some",
                   "size_17", "scale_2^-4", "antipodes")  # fmt: skip


@pytest.mark.parametrize("name", SURROGATE_CASES)
@pytest.mark.parametrize("backend", ["native", "reference"])
def test_the_gradient_is_that_of_the_frozen_surrogate(name, backend, device):
    # Central differences in numbers, along random directions: no chain rule is shared with anyone.
    c = build(name)
    _, _, grad_x, grad_gallery = evaluate(c, F64, backend=backend, device=device)
    x, gallery = rows_of(c)
    rng = np.random.default_rng(7)
    size = 1e-5 * np.abs(x).mean()  # second order: (1e-5)² of the value; rounding: 1e-16/1e-5
    for _ in range(4):
        step_x = size * rng.standard_normal(x.shape)
        step_r = None if gallery is None else size * rng.standard_normal(gallery.shape)
        ends = []
        for sign in (1, -1):
            moved = x + sign * step_x, None if gallery is None else gallery + sign * step_r
            ends.append(surrogate(c, moved, (x, gallery)))
        got = (grad_x.cpu().numpy() * step_x).sum()
        scale = np.linalg.norm(grad_x.cpu().numpy()) * np.linalg.norm(step_x)
        if gallery is not None:
            got += (grad_gallery.cpu().numpy() * step_r).sum()
            scale += np.linalg.norm(grad_gallery.cpu().numpy()) * np.linalg.norm(step_r)
        assert scale > 0
        assert abs((ends[0] - ends[1]) / 2 - got) <= 1e-6 * scale


@pytest.mark.parametrize("name", SURROGATE_CASES)
def test_the_surrogate_of_the_reference_is_that_of_the_contract(name):
    # Its value where nothing was frozen, and its gradient everywhere: by given hats, or its own.
    c = build(name)
    d, cos = (torch.from_numpy(part) for part in oracle.pairwise(*rows_of(c)))
    problem = c.labels, c.gallery_labels
    left = {"self_index": c.self_index, "exclude": c.exclude}
    weights = dict(zip(("rank_weight", "sort_weight", "angle_weight"), c.weights, strict=True))
    hats = reference.drsl_hats(d, cos, *problem, **left, delta=c.delta)
    generator = torch.Generator().manual_seed(8)
    at = [
        (part + 0.1 * torch.randn(part.shape, generator=generator, dtype=F64)).requires_grad_()
        for part in (d, cos)
    ]
    value = reference.drsl_surrogate(*at, *problem, **left, **weights, hats=hats)
    wanted = torch.zeros(len(c.labels), dtype=F64)
    for q, groups in groups_of(c):
        y, at_y = (1 + at[1][q].detach().numpy()) / 2, (1 + cos[q].numpy()) / 2
        frozen = at[0][q].detach().numpy(), y, d[q].numpy(), at_y
        wanted[q] = oracle.drsl_surrogate(*frozen, *groups, c.delta, c.weights)
    assert_close(value, wanted, CONTRACT[F64].loss)

    _, _, *by = reference.rank_sort(d, cos, *problem, **left, **weights, delta=c.delta)
    value.sum().backward()
    for part, slope in zip(at, by, strict=True):
        assert_close(part.grad, slope, CONTRACT[F64].grad)
    here = [part.clone().requires_grad_() for part in (d, cos)]
    reference.drsl_surrogate(*here, *problem, **left, **weights, delta=c.delta).sum().backward()
    for part, slope in zip(here, by, strict=True):
        assert_close(part.grad, slope, CONTRACT[F64].grad)


@pytest.mark.parametrize(
    "name", ["pk_8x4", "size_130", "gallery", "sets_gallery", "bank_excluded", "sets_masks"]
)
def test_the_fused_gradient_is_the_composition_of_the_three_operators(name, device):
    c, result = build(name), expected(name)

    def place(tensor):
        return None if tensor is None else tensor.to(device)

    x, gallery = place(c.x), place(c.gallery)
    distance, cosine = torch.ops.drsl.pairwise(x, gallery)
    _, _, by_d, by_cos = torch.ops.drsl.rank_sort(
        distance, cosine, place(c.labels), place(c.gallery_labels), place(c.self_index), place(c.exclude),
        "drsl", [c.delta, *c.weights],
    )  # fmt: skip
    share = 1.0 / result.counts.sum()
    wanted = torch.ops.drsl.redistribute(by_d * share, by_cos * share, distance, cosine, x, gallery)
    _, _, grad_x, grad_gallery = evaluate(c, F64, backend="native", device=device)
    assert_close(grad_x, wanted[0], CONTRACT[F64].grad)
    if gallery is not None:
        assert_close(grad_gallery, wanted[1], CONTRACT[F64].grad)


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("dtype", [F64, F32], ids=str)
def test_without_the_angle_the_gradient_sums_to_zero(backend, dtype, device):
    # Distances know differences only: what pulls one row pushes another.
    x = rows(40, 12, seed=1, device=device).detach().to(dtype)
    _, grad, _ = loss_and_grads(
        x, torch.arange(40, device=device) % 9, angle_weight=0.0, backend=backend
    )
    assert grad.abs().sum() > 0
    assert (grad.double().sum(0).abs() <= ZERO_SUM[dtype] * grad.double().abs().sum()).all()


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize(
    "options", [{"rank_weight": 0.0, "sort_weight": 0.0}, {"normalize": True}], ids=str
)
def test_where_length_does_not_matter_the_gradient_has_no_radial_part(options, backend, device):
    x = rows(40, 12, seed=2, device=device).detach()
    _, grad, _ = loss_and_grads(x, torch.arange(40, device=device) % 9, **options, backend=backend)
    radial = (grad * x).sum(-1) / x.norm(dim=-1)
    assert grad.norm(dim=-1).min() > 0
    assert (radial.abs() <= 1e-12 * grad.norm(dim=-1)).all()  # a few roundings of D terms


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("gallery", [False, True], ids=["batch", "gallery"])
@pytest.mark.parametrize("normalize", [False, True])
def test_the_gradient_is_linear_in_what_comes_from_above(reduction, gallery, normalize, device):
    x, r = rows(20, 6, seed=3, device=device), rows(15, 6, seed=4, device=device)
    labels, gallery_labels = (
        torch.arange(20, device=device) % 5,
        torch.arange(15, device=device) % 5,
    )
    given = (x, labels, r, gallery_labels) if gallery else (x, labels)
    plain = loss_and_grads(*given, reduction=reduction, normalize=normalize)
    weight = torch.full_like(plain[0], -2.5)
    scaled = loss_and_grads(*given, reduction=reduction, normalize=normalize, weight=weight)
    assert_close(scaled[1], -2.5 * plain[1], 1e-12)  # one more rounding for each addend
    if gallery:
        assert_close(scaled[2], -2.5 * plain[2], 1e-12)


@pytest.mark.parametrize("wanted", ["embeddings", "gallery"])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_only_the_side_that_asks_gets_a_gradient_and_it_is_the_same(
    wanted, normalize, reduction, device
):
    x, r = rows(20, 6, seed=5, device=device), rows(15, 6, seed=6, device=device)
    labels, gallery_labels = (
        torch.arange(20, device=device) % 5,
        torch.arange(15, device=device) % 5,
    )
    settings = {"normalize": normalize, "reduction": reduction}
    functional.drsl_loss(x, labels, r, gallery_labels, **settings).sum().backward()
    asked, other = (x, r) if wanted == "embeddings" else (r, x)
    both = asked.grad.clone()
    one_x, one_r = (t if t is asked else t.detach() for t in (x, r))
    (alone,) = torch.autograd.grad(
        functional.drsl_loss(one_x, labels, one_r, gallery_labels, **settings).sum(), asked
    )
    assert other.grad.abs().sum() > 0
    assert_close(alone, both, 1e-12)


def test_the_same_tensor_as_gallery_gets_both_sides(device):
    x = rows(20, 6, seed=7, device=device)
    labels = torch.arange(20, device=device) % 5
    functional.drsl_loss(x, labels, x, labels).backward()
    _, side_x, side_r = loss_and_grads(x, labels, x.detach().clone(), labels)
    assert_close(x.grad, side_x + side_r, 1e-12)


def test_several_losses_of_one_batch_accumulate(device):
    x = rows(20, 6, seed=8, device=device)
    labels = torch.arange(20, device=device) % 5
    first = functional.drsl_loss(x, labels)
    second = functional.drsl_loss(2 * x, labels, delta=0.1, reduction="sum")
    (first + 3 * second).backward()
    _, one, _ = loss_and_grads(x, labels)
    _, two, _ = loss_and_grads(2 * x, labels, delta=0.1, reduction="sum")
    assert_close(x.grad, one + 6 * two, 1e-12)
