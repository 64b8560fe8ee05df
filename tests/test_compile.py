"""torch.compile, torch.export, and PyTorch's own checks of the operators."""

import pytest
import torch

from drsl_cuda import DRSLLoss, _ops, functional
from running import loss_and_grads
from tolerances import F16, F32, F64, SAME, assert_close

NONE, MEAN, SUM = 0, 1, 2  # the operator's codes of the reductions
COMPILERS = ["eager", "aot_eager", pytest.param("inductor", marks=pytest.mark.slow)]


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def rows(*shape, seed=0, dtype=F64, device="cpu", grad=False):
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(*shape, generator=generator, dtype=F64).to(device, dtype).requires_grad_(grad)
    )


def batch(size=24, dim=10, *, seed=0, dtype=F64, device="cpu"):
    return rows(size, dim, seed=seed, dtype=dtype, device=device), torch.arange(
        size, device=device
    ) % 6


# ---------------------------------------------------------------------------------- opcheck


@pytest.mark.parametrize("gallery", [False, True], ids=["batch", "gallery"])
@pytest.mark.parametrize("sets", [False, True], ids=["plain", "sets"])
@pytest.mark.parametrize("dtype", [F64, F32, F16], ids=str)
def test_opcheck_pairwise(gallery, sets, dtype, device):
    lead = (2,) if sets else ()
    x = rows(*lead, 7, 5, dtype=dtype, device=device, grad=True)
    r = rows(*lead, 4, 5, seed=1, dtype=dtype, device=device, grad=True) if gallery else None
    torch.library.opcheck(torch.ops.drsl.pairwise.default, (x, r))


@pytest.mark.parametrize("sets", [False, True], ids=["plain", "sets"])
def test_opcheck_rank_sort_and_redistribute(sets, device):
    lead = (2,) if sets else ()
    x, r = rows(*lead, 7, 5, device=device), rows(*lead, 4, 5, seed=1, device=device)
    labels, r_labels = torch.arange(7, device=device) % 3, torch.arange(4, device=device) % 3
    distance, cosine = torch.ops.drsl.pairwise(x, r)
    exclude, own = (
        torch.zeros(7, 4, dtype=torch.bool, device=device),
        torch.full((7,), -1, device=device),
    )
    settings = ("drsl", [0.5, 1.0, 1.0, 1.0])
    torch.library.opcheck(
        torch.ops.drsl.rank_sort.default,
        (distance, cosine, labels, r_labels, own, exclude, *settings),
    )
    torch.library.opcheck(
        torch.ops.drsl.redistribute.default, (distance, cosine, distance, cosine, x, r)
    )
    distance, cosine = torch.ops.drsl.pairwise(x, None)
    torch.library.opcheck(
        torch.ops.drsl.rank_sort.default, (distance, cosine, labels, None, None, None, *settings)
    )
    torch.library.opcheck(
        torch.ops.drsl.redistribute.default, (distance, cosine, distance, cosine, x, None)
    )


# The operator's gradients are outputs, and refuse to be differentiated. This check differentiates every
# output, so it is left to tensors that ask for no gradient; compiled steps below show the rest of it.
ALL_BUT_DISPATCH = ("test_schema", "test_autograd_registration", "test_faketensor")
ALL = (*ALL_BUT_DISPATCH, "test_aot_dispatch_dynamic")


@pytest.mark.parametrize("reduction", [NONE, MEAN, SUM])
@pytest.mark.parametrize("gallery", [False, True], ids=["batch", "gallery"])
@pytest.mark.parametrize("lead", [(), (2,)], ids=["plain", "sets"])
@pytest.mark.parametrize("dtype", [F64, F16], ids=str)
def test_opcheck_embedding_loss(reduction, gallery, lead, dtype, device):
    labels, r_labels = torch.arange(7, device=device) % 3, torch.arange(4, device=device) % 3
    now = reduction != NONE  # gradients are taken in forward unless the loss is left unreduced
    for grad, checks in ((True, ALL_BUT_DISPATCH), (False, ALL)):
        x = rows(*lead, 7, 5, dtype=dtype, device=device, grad=grad)
        r = rows(*lead, 4, 5, seed=1, dtype=dtype, device=device, grad=grad) if gallery else None
        problem = (x, labels, r, r_labels if gallery else None, None, None, None)
        settings = ("drsl", [0.5, 1.0, 1.0, 1.0], True, reduction, now, now and gallery)
        op = torch.ops.drsl.embedding_loss.default
        torch.library.opcheck(op, (*problem, *settings), test_utils=checks)


# ---------------------------------------------------------------------------------- compile


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("gallery", [False, True], ids=["batch", "gallery"])
def test_a_compiled_step_is_the_step(compiler, reduction, gallery, device):
    module = DRSLLoss(reduction=reduction, normalize=True)
    x, labels = batch(dtype=F32, device=device)
    r, r_labels = batch(17, seed=1, dtype=F32, device=device)
    exclude = rows(24, 17 if gallery else 24, seed=2, device=device) > 1.0

    def step(x, r):
        others = (r * 1.5, r_labels) if gallery else ()
        loss, terms = module(x.relu() + 0.1, labels, *others, exclude=exclude, return_terms=True)
        return loss.square().sum(), terms.ranking

    results = []
    for function in (step, torch.compile(step, fullgraph=True, backend=compiler)):
        leaves = x.clone().requires_grad_(), r.clone().requires_grad_()
        loss, ranking = function(*leaves)
        loss.backward()
        results.append([loss, ranking, leaves[0].grad] + ([leaves[1].grad] if gallery else []))
    for eager, compiled in zip(*results, strict=True):
        assert_close(compiled, eager, SAME[F32].grad)


@pytest.mark.parametrize("compiler", COMPILERS)
def test_one_compilation_serves_every_batch_size(compiler, device):
    count, first = 0, None

    def counting(graph, inputs):
        nonlocal count
        count += 1
        return torch._dynamo.lookup_backend(compiler)(graph, inputs)

    function = torch.compile(
        lambda x, y: functional.drsl_loss(x, y), fullgraph=True, dynamic=True, backend=counting
    )
    for size in (24, 17, 40):
        x, labels = batch(size, seed=size, device=device)
        wanted = loss_and_grads(x, labels)
        leaf = x.clone().requires_grad_()
        loss = function(leaf, labels)
        loss.backward()
        assert_close(loss, wanted[0], 1e-12)
        assert_close(leaf.grad, wanted[1], 1e-12)
        first = count if first is None else first
    assert first and count == first


def test_a_compiled_pairwise_is_the_pairwise(device):
    x, r = rows(9, 4, device=device), rows(6, 4, seed=1, device=device)

    def total(x, r):
        distance, cosine = functional.pairwise_distance_angle(x, r)
        return (distance * cosine).sum()

    grads = []
    for function in (total, torch.compile(total, fullgraph=True, backend="aot_eager")):
        leaves = x.clone().requires_grad_(), r.clone().requires_grad_()
        grads.append(torch.autograd.grad(function(*leaves), leaves))
    for eager, compiled in zip(*grads, strict=True):
        assert_close(compiled, eager, 1e-12)


def test_a_bad_argument_is_named_under_compile_too(device):
    function = torch.compile(lambda x, y: functional.drsl_loss(x, y), backend="eager")
    with pytest.raises(Exception, match="labels must have shape"):
        function(torch.randn(4, 3, device=device), torch.arange(3, device=device))


@pytest.mark.parametrize("dynamic", [False, True])
def test_an_exported_loss_computes_the_loss(dynamic, device):
    module = DRSLLoss(delta=0.25)
    size = {0: torch.export.Dim("batch", min=2, max=512)}
    shapes = {"embeddings": size, "labels": size} if dynamic else None

    class Plain(torch.nn.Module):
        def forward(self, embeddings, labels):
            return module(embeddings, labels)

    program = torch.export.export(Plain(), batch(24, device=device), dynamic_shapes=shapes)
    for count in (24, 31) if dynamic else (24,):
        given = batch(count, seed=count, device=device)
        assert_close(program.module()(*given), module(*given), 1e-12)


TRANSFORMS = {
    "grad": lambda loss, x: torch.func.grad(loss)(x),
    "jacrev": lambda loss, x: torch.func.jacrev(loss)(x),
    "jvp": lambda loss, x: torch.func.jvp(loss, (x,), (x,)),
    "vjp": lambda loss, x: torch.func.vjp(loss, x),
    "vmap": lambda loss, x: torch.func.vmap(loss)(torch.stack([x, x])),
}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("of", ["drsl_loss", "rank_sort_loss", "ap_loss", "alrp_loss"])
def test_a_transform_is_refused_in_words_of_ours(of, transform, device):
    x, labels = batch(device=device)
    targets = (labels == 0).to(x)
    given = {
        "drsl_loss": (x, labels),
        "alrp_loss": (x[:, 0], targets, torch.ones(int(targets.sum()), device=device)),
    }.get(of, (x[:, 0], targets))

    def loss(first):
        result = getattr(functional, of)(first, *given[1:])
        return result[0] if isinstance(result, tuple) else result

    with pytest.raises(RuntimeError, match=r"drsl_cuda: .* torch\.func"):
        TRANSFORMS[transform](loss, given[0].clone())


# ------------------------------------------------------------------------------- without numbers


def steps():
    """Losses of everything that has a backward of its own, by name."""
    labels = torch.arange(8) % 3
    found = {
        f"{name} {reduction}": lambda x, name=name, reduction=reduction: getattr(functional, name)(
            x, labels, reduction=reduction
        )
        for name in ("drsl_loss", "fidi_loss", "smooth_ap_loss", "batch_hard_triplet_loss")
        for reduction in ("mean", "sum", "none")
    }
    targets, costs = (labels == 0).float(), torch.ones(8, 5)
    targets = targets[:, None].expand(8, 5)
    found["rank_sort"] = lambda x: sum(functional.rank_sort_loss(x, targets))
    found["sorting"] = lambda x: functional.rank_sort_loss(x, targets)[1]
    found["ap"] = lambda x: functional.ap_loss(x, targets)
    found["alrp"] = lambda x: functional.alrp_loss(x, targets, costs)[0]
    found["pairwise"] = lambda x: functional.pairwise_distance_angle(x)[0]
    return found


@pytest.mark.parametrize("name", steps())
def test_a_step_on_fake_tensors_asks_for_no_number(name):
    # Tools that plan memory or check shapes run a whole step, backward too, on tensors without numbers.
    step = steps()[name]
    with torch._subclasses.fake_tensor.FakeTensorMode(allow_non_fake_inputs=True):
        x = torch.randn(8, 5, requires_grad=True)
        loss = step(x)
        loss.sum().backward()
    assert loss.dtype == F32 and x.grad.shape == x.shape and x.grad.dtype == F32


# ------------------------------------------------------------------------------- TF32


class RowsOnAGPU:
    is_cuda, dtype = True, F32


@pytest.fixture
def torch_settings():
    """torch's settings of precision, which its older and newer names do not agree about once mixed."""
    yield
    torch.set_float32_matmul_precision("highest")
    for setting in (torch.backends, torch.backends.cuda.matmul):
        setting.fp32_precision = "none"


SETTINGS = {  # what says so: whether products may be rounded to TF32
    "torch.set_float32_matmul_precision('highest')": False,
    "torch.set_float32_matmul_precision('high')": True,
    "torch.set_float32_matmul_precision('medium')": True,
    "setattr(torch.backends.cuda.matmul, 'allow_tf32', True)": True,
    "setattr(torch.backends.cuda.matmul, 'fp32_precision', 'tf32')": True,
    "setattr(torch.backends.cuda.matmul, 'fp32_precision', 'ieee')": False,
    "setattr(torch.backends, 'fp32_precision', 'tf32')": True,
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_tf32_follows_each_of_torchs_settings(setting, torch_settings):
    assert not _ops.tf32(RowsOnAGPU)
    exec(setting)
    assert _ops.tf32(RowsOnAGPU) is SETTINGS[setting]


def test_tf32_is_asked_for_in_one_trace_and_again_when_it_changes(torch_settings):
    # Rows on a GPU are not needed for this: what is_cuda says of them, a trace knows.
    traced = torch.compile(lambda x: x + _ops.tf32(RowsOnAGPU), fullgraph=True, backend="eager")
    for precision, allowed in (("highest", 0.0), ("high", 1.0), ("highest", 0.0)):
        torch.set_float32_matmul_precision(precision)
        assert traced(torch.zeros(())).item() == allowed
