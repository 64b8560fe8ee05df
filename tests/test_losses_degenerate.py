"""The losses of the table where inputs are awkward: NaN, ties, own copies, arguments, derivatives."""

import copy
import pickle

import numpy as np
import pytest
import torch

from cases import build
from losses_table import LOSSES, tolerance, variants
from running import spoilable
from tolerances import F32, F64, GRADCHECK, ROUNDING, SAME, assert_close, cosine_floor

BACKENDS = pytest.mark.parametrize("backend", ["native", "reference"])
EVERY = pytest.mark.parametrize("name", LOSSES)
VARIANTS = pytest.mark.parametrize("name, options", list(variants()), ids=str)


def rows(*shape, seed=0, dtype=F64, device="cpu"):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=F64).to(device, dtype)


def loss_and_grads(name, x, labels, gallery=None, gallery_labels=None, **keyword):
    x = x.detach().clone().requires_grad_()
    gallery = None if gallery is None else gallery.detach().clone().requires_grad_()
    loss = LOSSES[name].function(x, labels, gallery, gallery_labels, **keyword)
    loss.sum().backward()
    return loss.detach(), x.grad, None if gallery is None else gallery.grad


# -------------------------------------------------------------------------------- bad rows


def spoil(kind, value):
    given = spoilable("gallery" if kind == "gallery" else "pk_sorted")
    if kind == "gallery":
        given["gallery"][7, 2] = value
        given["exclude"] = np.zeros((10, 37), bool)
        given["exclude"][:4, 7] = True
    else:
        given["x"][5, 3] = value
        given["exclude"] = np.zeros((24, 24), bool)
    if kind in ("some", "all"):
        given["exclude"][5] = True
        given["exclude"][: 20 if kind == "some" else 24, 5] = True
    return given


@BACKENDS
@VARIANTS
@pytest.mark.parametrize("kind", ["none", "some", "all", "gallery"])
@pytest.mark.parametrize("value", [np.nan, np.inf], ids=str)
@pytest.mark.parametrize("dtype", [F64, F32], ids=str)
def test_a_bad_row_spoils_those_who_compare_with_it(
    name, options, kind, value, dtype, backend, device
):
    given = spoil(kind, value)
    exact = LOSSES[name].oracle(**given, **options, accumulation=str(dtype).split(".")[1])
    placed = {k: None if v is None else torch.as_tensor(v).to(device) for k, v in given.items()}
    placed |= {k: v.to(dtype) for k, v in placed.items() if k in ("x", "gallery") and v is not None}
    loss, *grads = loss_and_grads(name, **placed, **options, reduction="none", backend=backend)
    allowed = tolerance(LOSSES[name], "", dtype)
    share = exact.bad.mean()
    assert share == {"none": 1, "some": 4 / 24, "all": 0, "gallery": 6 / 10}[kind]
    assert_close(loss, exact.reduced("none"), allowed.loss)
    lengths = given["x"][np.isfinite(given["x"]).all(-1)]
    floor = cosine_floor(np.nan_to_num(exact.grad_cosine), lengths, ROUNDING[dtype])
    for got, wanted in zip(grads, exact.grads("none"), strict=True):
        if wanted is not None:
            assert_close(got, wanted, allowed.grad, floor=floor)


@BACKENDS
@pytest.mark.parametrize("name, bad", [("fidi", True), ("smooth_ap", False)])
def test_without_a_positive_only_fidi_sees_a_bad_row(name, bad, backend, device):
    x = rows(5, 3, device=device)
    x[4, 1] = float("nan")
    loss, grad, _ = loss_and_grads(
        name, x, torch.arange(5, device=device), reduction="none", backend=backend
    )
    assert loss.isnan().all() == bad and grad.isnan().all() == bad
    assert bad or not (loss.any() or grad.any())


# --------------------------------------------------------------------------- nothing there


@BACKENDS
@EVERY
@pytest.mark.parametrize("queries, entries", [(4, 0), (0, 4), (0, 0)])
def test_sets_without_queries_or_entries_cost_nothing(name, queries, entries, backend, device):
    x, gallery = rows(2, queries, 3, device=device), rows(2, entries, 3, device=device)
    labels = [torch.zeros(n, dtype=torch.long, device=device) for n in (queries, entries)]
    loss, *grads = loss_and_grads(
        name, x, labels[0], gallery, labels[1], reduction="none", backend=backend
    )
    assert loss.shape == (2, queries) and not loss.any()
    assert [g.shape for g in grads] == [x.shape, gallery.shape]
    assert not any(g.any() for g in grads)


# --------------------------------------------------------------------------- ties and hinge


@BACKENDS
def test_of_equal_distances_the_triplet_takes_the_first(backend, device):
    x = torch.tensor([[0.0, 0], [3, 0], [3, 0], [1, 0], [1, 0]], dtype=F64, device=device)
    labels = torch.tensor([0, 0, 0, 1, 1], device=device)
    _, grad, by_gallery = loss_and_grads(
        "batch_hard_triplet", x[:1], labels[:1], x[1:], labels[1:], backend=backend
    )
    wanted = torch.tensor([[1.0, 0], [0, 0], [-1, 0], [0, 0]], dtype=F64, device=device)
    assert torch.equal(by_gallery, wanted)
    assert grad.abs().max() <= 1e-15  # one pulls as the other pushes, but for rounding


@BACKENDS
@pytest.mark.parametrize("nearest, moved", [(2.5, 0.0), (2.25, 1.0), (2.75, 0.0)])
def test_at_the_hinge_the_derivative_is_zero(nearest, moved, backend, device):
    x = torch.tensor([[0.0], [2.0], [nearest]], dtype=F64, device=device)
    labels = torch.tensor([0, 0, 1], device=device)
    _, _, grad = loss_and_grads(
        "batch_hard_triplet", x[:1], labels[:1], x[1:], labels[1:], margin=0.5, backend=backend
    )
    assert grad.flatten().tolist() == [moved, -moved]


@BACKENDS
@pytest.mark.parametrize("gaps", [10, 80, 110, 400, 700])
@pytest.mark.parametrize("dtype", [F64, F32], ids=str)
def test_smooth_ap_keeps_the_digits_of_what_is_nearly_in_order(dtype, gaps, backend, device):
    # Cosines 1 and −1, so the loss is σ(−2/τ) / (1 + σ(−2/τ)) to the smallest number that there is.
    wanted = 1 / (2 + np.exp(gaps))
    if dtype == F32 and gaps > 80:
        wanted = 0.0
    x = torch.tensor([[1.0, 0], [1, 0], [-1, 0]], dtype=dtype, device=device)
    labels = torch.tensor([0, 0, 1], device=device)
    options = {"temperature": 2 / gaps, "backend": backend}
    loss, _, _ = loss_and_grads("smooth_ap", x[:1], labels[:1], x[1:], labels[1:], **options)
    assert_close(loss, wanted, gaps * ROUNDING[dtype], floor=torch.finfo(dtype).tiny)


@BACKENDS
def test_without_a_negative_the_triplet_does_not_count(backend, device):
    x, labels = rows(8, 3, device=device), torch.arange(8, device=device) % 2
    exclude = torch.zeros(8, 8, dtype=torch.bool, device=device)
    exclude[0] = labels != labels[0]
    options = {
        "exclude": exclude,
        "margin": 5.0,
        "backend": backend,
    }  # every triplet costs something
    each, _, _ = loss_and_grads("batch_hard_triplet", x, labels, reduction="none", **options)
    mean, _, _ = loss_and_grads("batch_hard_triplet", x, labels, **options)
    assert each[0] == 0 and (each[1:] > 0).all()
    assert_close(mean, each.sum() / 7, 1e-13)  # a few roundings


@BACKENDS
@pytest.mark.parametrize("dtype", [F64, F32], ids=str)
def test_a_temperature_above_all_differences_takes_half_of_everything(dtype, backend, device):
    # σ = ½ for every pair, however far, so all that counts is how many there are.
    x = torch.ones(104, 1, dtype=dtype, device=device)
    x[4:] = -1
    labels = (torch.arange(104, device=device) >= 4).long()
    options = {"temperature": 1e8, "backend": backend}
    loss, _, _ = loss_and_grads("smooth_ap", x[:1], labels[:1], x[1:], labels[1:], **options)
    assert_close(
        loss, 50 / (1 + 1 + 50), 1e-6
    )  # two more positives, 100 negatives; 2/τ and rounding


@BACKENDS
def test_fidi_of_equal_rows_pulls_nobody(backend, device):
    x = torch.ones(4, 3, dtype=F32, device=device)
    labels = torch.zeros(4, dtype=torch.int64, device=device)
    loss, grad, _ = loss_and_grads("fidi", x, labels, backend=backend)
    assert loss == 0 and not grad.any()


@BACKENDS
def test_fidi_far_apart_stays_finite(backend, device):
    x = torch.tensor([[0.0], [1e30], [-1e30]], dtype=F32, device=device)
    labels = torch.tensor([0, 0, 1], device=device)
    loss, grad, _ = loss_and_grads("fidi", x, labels, reduction="sum", backend=backend)
    assert_close(loss, 2 * np.log(1.05 / 0.05), 1e-5)  # two positives at u = 0, negatives cost 0
    assert grad.isfinite().all()


@BACKENDS
@pytest.mark.parametrize("dtype", [F64, F32], ids=str)
@pytest.mark.parametrize("alpha", [1 + 2.0**-52, 1.05, 1e38, 1e300])
@pytest.mark.parametrize("beta", [1e-300, 1e-45, 0.5, 1e300])
def test_no_parameter_of_fidi_makes_nan(beta, alpha, dtype, backend, device):
    # 1e-300 is 0 in float32 and 1e300 infinite, and 0 · ∞ would come of a distance of either.
    x, labels = rows(12, 3, dtype=dtype, device=device), torch.arange(12, device=device) % 4
    x[5] = x[2]
    loss, grad, _ = loss_and_grads("fidi", x, labels, alpha=alpha, beta=beta, backend=backend)
    assert loss.isfinite() and loss > -1e-6 and grad.isfinite().all()
    if alpha > 1e30:  # no pair costs anything: log(α/(α − 1)) = 1/α
        assert abs(loss) < 1e-6 and grad.abs().max() < 1e-6


@BACKENDS
def test_the_terms_of_fidi_are_the_whole(backend, device):
    x, labels = rows(2, 20, 6, device=device), torch.arange(20, device=device) % 6
    for reduction in ("mean", "sum", "none"):
        loss, terms = LOSSES["fidi"].function(
            x.requires_grad_(), labels, reduction=reduction, return_terms=True, backend=backend
        )
        assert not any(t.requires_grad for t in terms)
        assert all(t.shape == loss.shape and (t > 0).all() for t in terms)
        assert_close(terms.positive + terms.negative, loss, 1e-13)  # a few roundings


@BACKENDS
def test_an_excluded_own_copy_is_no_positive(backend, device):
    x, labels = rows(12, 5, device=device), torch.arange(12, device=device) % 4
    options = {"temperature": 0.2, "backend": backend, "reduction": "none"}
    plain = loss_and_grads("smooth_ap", x, labels, **options)
    with_self = loss_and_grads("smooth_ap", x, labels, include_self=True, **options)
    own = torch.eye(12, dtype=torch.bool, device=device)
    without = loss_and_grads("smooth_ap", x, labels, include_self=True, exclude=own, **options)
    assert_close(without[0], plain[0], 1e-12)
    assert_close(without[1], plain[1], 1e-12)
    assert (with_self[0] < plain[0]).all()  # one more positive, and in front


# ------------------------------------------------------------------------------ same results


@BACKENDS
@VARIANTS
@pytest.mark.parametrize("normalize", [False, True])
def test_sets_equal_separate_calls(name, options, normalize, backend, device):
    x, labels = rows(3, 20, 6, device=device), torch.arange(20, device=device) % 6
    options = options | {"normalize": normalize, "reduction": "none", "backend": backend}
    together = loss_and_grads(name, x, labels, **options)
    for s in range(3):
        alone = loss_and_grads(name, x[s], labels, **options)
        assert_close(together[0][s], alone[0], SAME[F64].loss)
        assert_close(together[1][s], alone[1], SAME[F64].grad)


@BACKENDS
@VARIANTS
def test_the_order_of_the_batch_does_not_matter(name, options, backend, device):
    x, labels = rows(30, 6, device=device), torch.arange(30, device=device) % 7
    order = torch.randperm(30, generator=torch.Generator().manual_seed(1)).to(device)
    plain = loss_and_grads(name, x, labels, **options, backend=backend)
    moved = loss_and_grads(name, x[order], labels[order], **options, backend=backend)
    assert_close(moved[0], plain[0], SAME[F64].loss)
    assert_close(moved[1], plain[1][order], SAME[F64].grad)


# ------------------------------------------------------------------------------- derivatives


@BACKENDS
@VARIANTS
@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("gallery", [False, True])
@pytest.mark.parametrize("normalize", [False, True])
def test_gradcheck(name, options, reduction, gallery, normalize, backend, device):
    if name == "smooth_ap":
        options = {"temperature": 0.2} | options  # at 0.01 the curvature 1/τ² drowns differences
    labels = torch.tensor([0, 1, 0, 1, 2, 0], device=device)
    x, r = rows(6, 3, seed=2, device=device), rows(5, 3, seed=3, device=device)
    own = torch.tensor([2, -1, 0, -1, 4, -1], device=device)

    def loss(x, *r):
        others = (*r, labels[:5]) if r else ()
        masks = {"self_index": own} if r else {}
        return LOSSES[name].function(
            x, labels, *others, **masks, **options, reduction=reduction, normalize=normalize,
            backend=backend,
        )  # fmt: skip

    leaves = [t.requires_grad_() for t in ((x, r) if gallery else (x,))]
    assert torch.autograd.gradcheck(loss, leaves, **GRADCHECK)


@BACKENDS
@EVERY
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_a_second_derivative_is_refused(name, reduction, backend, device):
    x, labels = rows(12, 5, device=device).requires_grad_(), torch.arange(12, device=device) % 4
    loss = LOSSES[name].function(x, labels, reduction=reduction, backend=backend).sum()
    (grad,) = torch.autograd.grad(loss, x, create_graph=True)
    assert grad.any()
    with pytest.raises(RuntimeError, match="derivative"):
        grad.square().sum().backward()


@EVERY
@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize(
    "compiler", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)]
)
def test_a_compiled_loss_is_the_loss(name, reduction, compiler, device):
    torch._dynamo.reset()
    module = LOSSES[name].module(reduction=reduction)
    x, labels = rows(12, 5, device=device), torch.arange(12, device=device) % 4
    results = []
    for function in (module, torch.compile(module, fullgraph=True, backend=compiler)):
        leaf = x.clone().requires_grad_()
        loss = function(leaf, labels)
        loss.sum().backward()
        results.append((loss, leaf.grad))
    for eager, compiled in zip(*results, strict=True):
        assert_close(compiled, eager, 1e-12)  # the same operator


# ------------------------------------------------------------------------ arguments and modules

BAD = [(n, p, v) for n, loss in LOSSES.items() for p, values in loss.bad.items() for v in values]


@pytest.mark.parametrize("name, parameter, value", BAD, ids=str)
@BACKENDS
def test_bad_parameters_are_named(name, parameter, value, backend):
    x, labels = rows(6, 3), torch.arange(6) % 2
    kind = ValueError if type(value) is float else TypeError
    for call in (
        lambda: LOSSES[name].function(x, labels, **{parameter: value}, backend=backend),
        lambda: LOSSES[name].module(**{parameter: value}),
    ):
        with pytest.raises(kind, match=parameter):
            call()


@pytest.mark.parametrize("name", [n for n, loss in LOSSES.items() if not loss.terms])
@BACKENDS
def test_a_loss_without_terms_says_so(name, backend):
    x, labels = rows(6, 3), torch.arange(6) % 2
    with pytest.raises(ValueError, match=f"return_terms must be False for {name}_loss"):
        LOSSES[name].function(x, labels, return_terms=True, backend=backend)


@EVERY
def test_bad_problems_are_refused(name):
    x, labels = rows(6, 3), torch.arange(6) % 2
    function = LOSSES[name].function
    for match, given, keyword in (
        ("labels", (x, labels[:5]), {}),
        ("gallery_labels", (x, labels, x), {}),
        ("exclude", (x, labels), {"exclude": torch.zeros(6, 5, dtype=torch.bool)}),
        ("reduction", (x, labels), {"reduction": "median"}),
        ("backend", (x, labels), {"backend": "cuda"}),
    ):
        with pytest.raises(ValueError, match=match):
            function(*given, **keyword)
    with pytest.raises(TypeError, match="normalize"):
        function(x, labels, normalize=1)


@EVERY
def test_the_module_computes_what_the_function_computes(name):
    row, c = LOSSES[name], build("pk_8x4")
    settings = row.settings | {"normalize": True, "reduction": "sum", "backend": "native"}
    module = row.module(**settings)
    wanted = row.function(c.x, c.labels, **settings)
    for one in (module, copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(one(c.x, c.labels), wanted)
        assert all(f"{key}={value!r}" in repr(one) for key, value in settings.items())
    by_position = row.module(*row.settings.values(), True, "sum", "native")
    assert torch.equal(by_position(c.x, c.labels), wanted)
    assert dict(module.state_dict()) == {}
    for key, value in row.settings.items():
        assert row.module(**{key: value})(c.x, c.labels) != row.module()(c.x, c.labels), key
