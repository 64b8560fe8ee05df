"""Good behaviour inside PyTorch: types, autocast, modes, and what autograd may be asked for."""

from types import SimpleNamespace

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from cases import build, expected
from drsl_cuda import _ops, functional
from running import drsl, loss_and_grads
from tolerances import BF16, CONTRACT, F16, F32, F64, SAME, UNDERFLOW, assert_close

BACKENDS = pytest.mark.parametrize("backend", ["native", "reference"])


def rows(*shape, seed=0, dtype=F64, device="cpu"):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=F64).to(device, dtype)


def batch(size=24, dim=10, classes=6, *, seed=0, dtype=F64, device="cpu"):
    return rows(size, dim, seed=seed, dtype=dtype, device=device), torch.arange(
        size, device=device
    ) % classes


# ------------------------------------------------------------------------------------ types


@BACKENDS
@pytest.mark.parametrize(
    "x_type, r_type", [(F16, F32), (F32, F16), (BF16, F16), (F32, F64), (BF16, F64)], ids=str
)
def test_types_promote_and_each_gradient_returns_in_its_own(x_type, r_type, backend, device):
    x, labels = batch(dtype=x_type, device=device)
    r, r_labels = batch(17, seed=1, dtype=r_type, device=device)
    loss, grad_x, grad_r = loss_and_grads(x, labels, r, r_labels, backend=backend)
    joint = torch.promote_types(x_type, r_type)
    wanted = loss_and_grads(x.to(joint), labels, r.to(joint), r_labels, backend=backend)
    assert loss.dtype == wanted[0].dtype and grad_x.dtype == x_type and grad_r.dtype == r_type
    assert_close(loss, wanted[0], 1e-12)
    for got, value, dtype in ((grad_x, wanted[1], x_type), (grad_r, wanted[2], r_type)):
        assert_close(
            got, value, max(CONTRACT[dtype].grad, CONTRACT[joint].grad), floor=UNDERFLOW[dtype]
        )


@BACKENDS
@pytest.mark.parametrize("dtype", [F16, BF16, F32, F64], ids=str)
@pytest.mark.parametrize("autocast_to", [BF16, F16], ids=str)
def test_autocast_changes_nothing(dtype, autocast_to, backend, device):
    # Half inputs are computed in float32 anyway, and float64 stays float64.
    x, labels = batch(dtype=dtype, device=device)
    r, r_labels = batch(17, seed=1, dtype=dtype, device=device)
    for given in ((x, labels), (x, labels, r, r_labels)):
        wanted = loss_and_grads(*given, backend=backend)
        leaves = [t.clone().requires_grad_() if t.is_floating_point() else t for t in given]
        with torch.autocast(device.type, autocast_to):
            loss = drsl(*leaves, backend=backend)
            if backend == "native":  # the reference's products would be cast in a backward in here
                loss.backward()
        if backend == "reference":
            loss.backward()
        assert loss.dtype == wanted[0].dtype == (F64 if dtype == F64 else F32)
        assert torch.equal(loss, wanted[0])
        for leaf, same in zip(leaves[::2], wanted[1:], strict=False):
            assert leaf.grad.dtype == dtype and torch.equal(leaf.grad, same)


def test_autocast_promotes_the_features_of_a_model(device):
    x, labels = batch(dtype=F32, device=device)
    layer = torch.nn.Linear(10, 8).to(device)
    with torch.autocast(device.type, BF16):
        features = layer(x)
        loss = drsl(features, labels)
        distance, cosine = functional.pairwise_distance_angle(features)
    assert features.dtype == BF16
    assert loss.dtype == distance.dtype == cosine.dtype == F32
    wanted = drsl(features.detach().float(), labels)
    assert_close(loss, wanted, SAME[F32].loss)
    loss.backward()
    assert layer.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("dtype", [F16, BF16], ids=str)
def test_loss_scaling_saves_small_gradients(reduction, dtype, device):
    # What torch.amp.GradScaler relies on: 2^16, its first scale, meets the gradient before it is rounded
    # to float16, where weights of 1e-5 alone would leave nothing (and 2^16 itself is infinity).
    c = build("pk_8x4")
    settings = {f"{part}_weight": 2.0**-17 for part in ("rank", "sort", "angle")}
    weight = torch.full((32,) if reduction == "none" else (), 2.0**16, dtype=F32, device=device)
    x = c.x.to(device, dtype)
    _, grad, _ = loss_and_grads(
        x, c.labels.to(device), weight=weight, reduction=reduction, **settings
    )
    wanted, _ = expected("pk_8x4").grads(reduction, 0.5)  # 2^16 · 2^-17
    assert_close(grad, wanted, CONTRACT[dtype].grad, floor=UNDERFLOW[dtype])


ON_A_GPU = SimpleNamespace(is_cuda=True, dtype=F32)
TF32 = {  # how torch is told, and whether products may be in TF32 then
    "default": (lambda: None, False),
    "matmul precision": (lambda: torch.set_float32_matmul_precision("high"), True),
    "allow_tf32": (lambda: setattr(torch.backends.cuda.matmul, "allow_tf32", True), True),
    "fp32_precision": (
        lambda: setattr(torch.backends.cuda.matmul, "fp32_precision", "tf32"),
        True,
    ),
    "of all": (lambda: setattr(torch.backends, "fp32_precision", "tf32"), True),
    "of all, not of these": (
        lambda: (
            setattr(torch.backends, "fp32_precision", "tf32"),
            setattr(torch.backends.cuda.matmul, "fp32_precision", "ieee"),
        ),
        False,
    ),
}


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("way", TF32)
def test_tf32_is_what_torch_is_told_by_any_of_its_settings(way, compiled):
    # torch.get_float32_matmul_precision raises once the newer of these was used.
    tell, wanted = TF32[way]

    def ask(x):
        return x + _ops.products_may_round()

    ask = torch.compile(ask, fullgraph=True, backend="eager") if compiled else ask
    forget_precisions()
    try:
        assert ask(torch.zeros(())) == 0
        tell()
        assert ask(torch.zeros(())) == wanted == _ops.tf32(ON_A_GPU)
    finally:
        forget_precisions()


def forget_precisions():
    for setting in (
        torch.backends,
        torch.backends.cuda.matmul,
        torch.backends.mkldnn.matmul,  # set_float32_matmul_precision sets both
    ):
        setting.fp32_precision = "none"


# ------------------------------------------------------------------------------------ modes


@BACKENDS
@pytest.mark.parametrize(
    "mode", [torch.no_grad, torch.inference_mode], ids=["no_grad", "inference"]
)
@pytest.mark.parametrize("normalize", [False, True])
def test_without_a_graph_the_loss_is_the_same(mode, normalize, backend, device):
    x, labels = batch(device=device)
    wanted, wanted_terms = drsl(
        x.requires_grad_(), labels, normalize=normalize, return_terms=True, backend=backend
    )
    assert wanted.requires_grad
    with mode():
        loss, terms = drsl(x, labels, normalize=normalize, return_terms=True, backend=backend)
        inside = drsl(x * 1, labels, normalize=normalize, backend=backend)
    assert not loss.requires_grad
    assert_close(loss, wanted, 1e-12)  # without a gradient another path may run
    assert_close(inside, wanted, 1e-12)
    for mine, same in zip(terms, wanted_terms, strict=True):
        assert_close(mine, same, 1e-12)


@BACKENDS
def test_inputs_that_ask_for_nothing_give_a_loss_without_graph(backend, device):
    x, labels = batch(device=device)
    assert not drsl(x, labels, backend=backend).requires_grad


@BACKENDS
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_a_second_derivative_is_refused(reduction, backend, device):
    x, labels = batch(device=device)
    x.requires_grad_()
    (grad,) = torch.autograd.grad(
        drsl(x, labels, reduction=reduction, backend=backend).sum(), x, create_graph=True
    )
    assert grad.abs().sum() > 0
    with pytest.raises(RuntimeError):
        torch.autograd.grad(grad.square().sum(), x)


@BACKENDS
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_a_gradient_penalty_is_refused_rather_than_ignored(reduction, backend, device):
    # Beside another term a gradient that is merely cut off would go unnoticed.
    x, labels = batch(device=device)
    x.requires_grad_()
    loss = drsl(x, labels, reduction=reduction, backend=backend).sum()
    (grad,) = torch.autograd.grad(loss, x, create_graph=True)
    with pytest.raises(RuntimeError, match="derivative"):
        (loss + grad.square().sum()).backward()


@BACKENDS
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_a_forward_derivative_is_refused_rather_than_zero(reduction, backend, device):
    # torch differentiates the gradient by what it was multiplied with, and reads "no path" as 0.
    x, labels = batch(device=device)
    with pytest.raises(RuntimeError, match="derivative"):
        torch.autograd.functional.jvp(
            lambda x: drsl(x, labels, reduction=reduction, backend=backend).sum(), x, x
        )


@BACKENDS
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_a_checkpoint_computes_the_loss_again(reduction, backend, device):
    x, labels = batch(device=device)
    x.requires_grad_()

    def step(x):
        return drsl(2 * x, labels, reduction=reduction, backend=backend).sum()

    wanted = torch.autograd.grad(step(x), x)[0]
    for create_graph in (False, True):
        loss = checkpoint(step, x, use_reentrant=False)
        for _ in range(2):  # the second backward needs what the checkpoint threw away
            (grad,) = torch.autograd.grad(loss, x, retain_graph=True, create_graph=create_graph)
            assert torch.equal(grad, wanted)


@BACKENDS
def test_backward_runs_again_where_the_graph_is_kept(backend, device):
    x, labels = batch(device=device)
    x.requires_grad_()
    for reduction in ("mean", "none"):
        loss = drsl(x, labels, reduction=reduction, backend=backend).sum()
        first, second = (torch.autograd.grad(loss, x, retain_graph=True)[0] for _ in range(2))
        assert first.abs().sum() > 0
        assert torch.equal(first, second)
        assert_close(
            torch.autograd.grad(3 * loss, x)[0], 3 * first, 1e-14
        )  # the same graph, scaled


def test_changing_the_input_between_forward_and_backward_is_noticed(device):
    # `none` looks at the rows again in backward: silently using the changed ones would be wrong.
    x, labels = batch(device=device)
    leaf = x.clone().requires_grad_()
    rows_ = leaf * 1
    loss = drsl(rows_, labels, reduction="none")
    rows_.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.sum().backward()


@BACKENDS
def test_hooks_see_the_gradient_once(backend, device):
    x, labels = batch(device=device)
    x.requires_grad_()
    seen = []
    x.register_hook(lambda grad: seen.append(grad.clone()))
    drsl(x, labels, backend=backend).backward()
    assert len(seen) == 1
    assert torch.equal(seen[0], x.grad)


def test_threads_of_python_do_not_disturb_each_other(device):
    from concurrent.futures import ThreadPoolExecutor

    problems = [batch(40 + 3 * k, 8 + k, 7, seed=k, device=device) for k in range(8)]
    wanted = [loss_and_grads(*p) for p in problems]
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda p: loss_and_grads(*p), problems * 3))
    for mine, right in zip(got, wanted * 3, strict=True):
        assert_close(mine[0], right[0], 1e-12)
        assert_close(mine[1], right[1], 1e-12)
