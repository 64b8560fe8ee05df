"""Sizes at the edge: more pairs than 32 bits count, very long and very many rows, memory that lacks."""

import subprocess
import sys

import pytest
import torch

import drsl_cuda
from drsl_cuda import functional
from losses_table import LOSSES
from tolerances import CONTRACT, F32, F64, assert_close

EMBEDDINGS = {"drsl": functional.drsl_loss} | {n: row.function for n, row in LOSSES.items()}
EVERY = pytest.mark.parametrize("name", EMBEDDINGS)


def rows(*shape, seed=0, dtype=F32):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=F64).to(dtype)


def both(function, *given, **options):
    """Loss and gradients of native code and of the reference, the latter in float64."""
    results = []
    for backend, dtype in (("native", None), ("reference", F64)):
        tensors = [t.to(dtype) if dtype and t.is_floating_point() else t for t in given]
        leaves = [t.requires_grad_() for t in (u.clone() for u in tensors if u.is_floating_point())]
        placed = iter(leaves)
        arguments = [next(placed) if t.is_floating_point() else t for t in tensors]
        loss = function(*arguments, backend=backend, **options)
        results.append((loss.detach(), *torch.autograd.grad(loss.sum(), leaves)))
    return results


@EVERY
@pytest.mark.parametrize("dim", [1, 100_000])
def test_rows_of_one_number_and_of_very_many(name, dim):
    x, labels = rows(24, dim) * dim**-0.5, torch.arange(24) % 6  # distances of about 1
    options = {"temperature": 0.1} if name == "smooth_ap" else {}
    if dim == 1:  # angles are all the same: what is left of them is rounding
        options = {"sort_weight": 0.0, "angle_weight": 0.0} if name == "drsl" else options
    if (name, dim) == ("smooth_ap", 1):
        pytest.skip("every cosine is ±1: what is left of the gradient is rounding")
    (loss, grad), (wanted, right) = both(EMBEDDINGS[name], x, labels, **options)
    # A squared distance is a sum of `dim` terms, each rounded; among so many, rounding averages out.
    assert_close(loss, wanted, 1e-4, what="loss")
    assert_close(grad, right, 1e-3, what="gradient")


@pytest.mark.slow
def test_one_query_against_ten_million():
    entries = 10**7
    gallery, x = rows(entries, 1), torch.zeros(1, 1)
    labels = torch.ones(entries, dtype=torch.int64)
    labels[:3] = 0
    gallery[:3, 0] = torch.tensor([0.5, -2.0, 1.25])
    x.requires_grad_(), gallery.requires_grad_()
    zero = torch.zeros(1, dtype=torch.int64)
    d = gallery.detach().abs().squeeze(1).double()
    near = d[3:].min()
    loss = functional.batch_hard_triplet_loss(x, zero, gallery, labels, margin=4.0)
    loss.backward()
    assert_close(loss, 4.0 + 2.0 - near, 1e-6)
    assert gallery.grad.count_nonzero() == 2 and abs(gallery.grad[1, 0] + 1) < 1e-6
    # δ = 0: N_FP(i) is how many negatives are no farther than i.
    loss = functional.drsl_loss(
        x, zero, gallery, labels, delta=0.0, sort_weight=0.0, angle_weight=0.0
    )
    false = torch.stack([(d[3:] <= d[i]).sum() for i in range(3)]).double()
    ahead = torch.tensor([1.0, 3.0, 2.0], dtype=F64)
    assert_close(loss, (false / (ahead + false)).mean(), CONTRACT[F32].loss)


@pytest.mark.slow
def test_more_pairs_than_32_bits_count():
    # 47,000² > 2³¹. Classes of two on a line, D = 1, so that every distance is known: class c stands at
    # 4c and 4c + 1, and at δ = 0.5 a query's positive at distance 1 has no negative within reach.
    size = 47_000
    assert size * size > 2**31
    labels = torch.arange(size) // 2
    x = (4.0 * labels + torch.arange(size) % 2).to(F32)[:, None]
    x[-1] += 5.0  # but for the last one, farther from its positive (6) than it is from none, whose
    x.requires_grad_()  # negatives lie at 3 and 4: the query before it ranks them first
    settings = {"sort_weight": 0.0, "angle_weight": 0.0, "reduction": "none"}
    loss = functional.drsl_loss(x, labels, **settings)
    loss.sum().backward()
    last = size - 8
    near = x.detach()[last - 600 :].double()
    few = functional.drsl_loss(near, labels[last - 600 :], backend="reference", **settings)
    assert not loss[: size - 8].any()
    assert_close(loss[-8:], few[-8:], CONTRACT[F32].loss)
    assert loss[-2] > 0.3
    assert not x.grad[: size - 16].any() and x.grad[-16:].any()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rank_sort", "ap"])
def test_ten_million_scores(name):
    entries = 10**7
    scores, targets = rows(entries), torch.zeros(entries)
    targets[::1_000_000] = 1.0
    leaf = scores.clone().requires_grad_()
    loss = getattr(functional, f"{name}_loss")(leaf, targets, 0.0)
    loss = loss[0] if name == "rank_sort" else loss
    loss.backward()
    positive = targets > 0
    s, negatives = scores[positive], scores[~positive].sort().values
    false = (len(negatives) - torch.searchsorted(negatives, s)).double()
    ahead = (s[:, None] <= s).sum(1).double()
    error = 1 - ahead / (ahead + false)
    if name == "ap":  # precision does not fall from a positive to one that ranks lower
        order = s.argsort()
        error[order] = error[order].cummin(0).values
    assert_close(loss, error.mean(), CONTRACT[F32].loss)
    assert_close(leaf.grad[positive], -error / len(s), CONTRACT[F32].grad)
    assert abs(leaf.grad.double().sum()) < 1e-6  # what one is given is taken from others


def test_one_query_takes_the_workspace_of_one():
    labels = torch.zeros(64, dtype=torch.int64)
    gallery, others = torch.zeros(10**5, 1), torch.zeros(10**5, dtype=torch.int64)
    one, many = (
        drsl_cuda.explain(torch.zeros(size, 1), labels[:size], gallery, others) for size in (1, 64)
    )
    assert one.block_rows == 1 and one.workspace_bytes < many.workspace_bytes / 4


# ------------------------------------------------------------------------------- what cannot fit


def huge(*shape, dtype=F32):
    """Looks like a tensor of this shape and takes no room."""
    return torch.zeros(1, dtype=dtype).expand(shape)


def problems():
    million = 2**20
    labels = torch.zeros(million, dtype=torch.int64)
    yield "pairs", 8 * million**2, lambda: functional.pairwise_distance_angle(huge(million, 2))
    yield (
        "exclude",
        million**2,
        lambda: functional.drsl_loss(
            huge(million, 2), labels, exclude=huge(million, million, dtype=torch.bool)
        ),
    )
    yield (
        "rows",
        4 * 2**50,
        lambda: functional.fidi_loss(huge(8, 2**47), labels[:8], huge(8, 2**47), labels[:8]),
    )
    yield "scores", 4 * 2**50, lambda: functional.ap_loss(huge(2**50), huge(2**50))


@pytest.mark.parametrize(
    "name, least, call", list(problems()), ids=lambda v: v if type(v) is str else ""
)
def test_what_cannot_fit_says_how_many_bytes_it_wanted(name, least, call):
    with pytest.raises(
        MemoryError, match=r"wants [\d,]+ bytes of memory, the machine has"
    ) as error:
        call()
    assert int(str(error.value).split(" bytes")[0].split()[-1].replace(",", "")) >= least


REFUSED = """
import resource
import torch
from drsl_cuda import functional

torch.set_num_threads(1)
x, labels = torch.randn(70, 3), torch.arange(70) % 9
gallery, others = torch.randn(400_000, 3), torch.arange(400_000)
x.requires_grad_(), gallery.requires_grad_()
before = functional.{name}(x, labels)
kept = x.detach().clone(), gallery.detach().clone()
torch.autograd.grad(before, x)
with open("/proc/self/statm") as statm:
    used = int(statm.read().split()[0]) * resource.getpagesize()
refused = 0
for more in range(4, 400, 12):  # MiB: each allocation on the way fails once
    resource.setrlimit(resource.RLIMIT_AS, (used + more * 2**20, resource.RLIM_INFINITY))
    try:
        loss = functional.{name}(x, labels, gallery, others)
        torch.autograd.grad(loss, (x, gallery))
        del loss
        break
    except MemoryError as error:
        assert "bytes of memory" in str(error), error
        refused += 1
    except RuntimeError as error:  # torch's own, of what autograd asks for
        assert "allocate memory" in str(error), error
        refused += 1
    after = functional.{name}(x, labels)
    assert torch.equal(after, before)
else:
    raise SystemExit("400 MiB were not enough")
assert torch.equal(x, kept[0]) and torch.equal(gallery, kept[1])
assert torch.equal(functional.{name}(x, labels), before)
print(refused)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_AS and /proc")
@pytest.mark.parametrize("name", ["drsl_loss", "smooth_ap_loss"])
def test_a_failed_allocation_leaves_everything_usable(name):
    done = subprocess.run(
        [sys.executable, "-c", REFUSED.format(name=name)],
        capture_output=True, text=True, timeout=1200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 3
