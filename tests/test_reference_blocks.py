"""The reference takes queries, pairs and entries in blocks: how many at a time changes no result."""

import pytest
import torch

from drsl_cuda import functional, metrics, reference
from drsl_cuda.reference import evaluate, pairwise, scores, turns
from drsl_cuda.reference.problem import problem
from tolerances import F64, assert_close

ROUNDING = 1e-13  # of sums that are added up in another order
LOSSES = ("drsl", "fidi", "smooth_ap", "batch_hard_triplet")


def rows(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def same(results, wanted):
    for got, want in zip(results, wanted, strict=True):
        assert got.shape == want.shape
        assert_close(got, want, ROUNDING)


def loss_terms_and_grads(name, shape):
    """In the order of the function: what it returns, then the gradient of a weighted sum of losses."""
    x, r = rows(*shape, 11, 4).requires_grad_(), rows(*shape, 17, 4, seed=1).requires_grad_()
    labels = torch.arange(11) % 4, torch.arange(17) % 5
    keyword = {"return_terms": True} if name in ("drsl", "fidi") else {}
    function = getattr(reference, f"{name}_loss")
    result = function(x, labels[0], r, labels[1], reduction="none", **keyword)
    loss, terms = result if keyword else (result, ())
    (loss * rows(*loss.shape, seed=2)).sum().backward()
    return loss.detach(), *terms, x.grad, r.grad


@pytest.mark.parametrize("kept", [0, 2**26], ids=["again", "kept"])
@pytest.mark.parametrize("block", [1, 300])
@pytest.mark.parametrize("shape", [(), (3,)], ids=str)
@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_of_queries_in_blocks(name, shape, block, kept, monkeypatch):
    wanted = loss_terms_and_grads(name, shape)
    monkeypatch.setattr(turns, "BLOCK", block)
    monkeypatch.setattr(turns, "KEEP", kept)
    same(loss_terms_and_grads(name, shape), wanted)


@pytest.mark.parametrize("shape", [(), (3,)], ids=str)
def test_rank_sort_of_queries_in_blocks(shape, monkeypatch):
    distance, cosine = rows(*shape, 11, 17).abs(), rows(*shape, 11, 17, seed=1).tanh()
    given = distance, cosine, torch.arange(11) % 4, torch.arange(17) % 5
    wanted = reference.rank_sort(*given)
    monkeypatch.setattr(turns, "BLOCK", 200)
    same(reference.rank_sort(*given), wanted)


@pytest.mark.parametrize("sets", [1, 3])
@pytest.mark.parametrize(
    "block, sizes",
    [(0, [1] * 10), (79, [1] * 10), (3 * 80, [3, 3, 3, 1]), (10 * 80, [10]), (10**9, [10])],
    ids=str,
)
def test_a_block_holds_so_many_pairs_or_one_query(sets, block, sizes, monkeypatch):
    monkeypatch.setattr(turns, "BLOCK", block * sets)
    p = problem(torch.zeros(10, dtype=torch.long), torch.arange(20) // 4, None, None)
    assert p.columns.shape == (10, 4)  # 80 pairs of a positive and an entry in each query
    distance = rows(sets, 10, 20)
    taken = []

    def work(d, cosine, some):
        assert d.shape[1] == cosine.shape[1] == len(some.columns) == len(some.counts)
        taken.append(d.shape[1])
        return (d.sum(-1),)

    (loss,) = turns.in_turns(work, distance, distance, p)
    assert taken == sizes
    assert torch.equal(loss, distance.sum(-1))


@pytest.mark.parametrize("kept, calls", [(800, 4), (799, 8)])
def test_backward_computes_again_what_is_too_much_to_keep(kept, calls, monkeypatch):
    monkeypatch.setattr(turns, "BLOCK", 240)
    monkeypatch.setattr(turns, "KEEP", kept)
    p = problem(torch.zeros(10, dtype=torch.long), torch.arange(20) // 4, None, None)
    distance = rows(10, 20).requires_grad_()
    taken = []

    def work(d, cosine, some):
        taken.append(len(d))
        return d.square().sum(-1), d[..., None, :3].sum(-1)

    loss, terms = turns.in_turns(work, distance, distance.detach(), p)
    loss.sum().backward()
    assert len(taken) == calls
    assert loss.shape == (10,) and terms.shape == (10, 1)
    assert torch.equal(distance.grad, 2 * distance.detach())


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("shape", [(), (2,)], ids=str)
def test_near_pairs_in_chunks(shape, own, monkeypatch):
    def distance_and_cosine_with_grads():
        base = rows(*shape, 4, 5)
        x = torch.cat([base, base + 1e-3], dim=-2).requires_grad_()  # near: pair by pair
        r = None if own else (x.detach() - 1e-3 * rows(*shape, 8, 5, seed=1)).requires_grad_()
        distance, cosine = reference.pairwise_distance_angle(x, r)
        (distance.sum() + cosine.sum()).backward()
        return [distance.detach(), cosine.detach(), x.grad, *([] if own else [r.grad])]

    wanted = distance_and_cosine_with_grads()
    for chunk in (1, 30):
        monkeypatch.setattr(pairwise, "CHUNK", chunk)
        for got, want in zip(distance_and_cosine_with_grads(), wanted, strict=True):
            assert_close(got, want, ROUNDING)


@pytest.mark.parametrize("delta", [0.0, 0.5])
@pytest.mark.parametrize("name", ["rank_sort", "ap", "alrp"])
def test_positives_of_scores_in_blocks(name, delta, monkeypatch):
    targets = torch.where(torch.arange(40) % 3 == 0, torch.rand(40, dtype=F64) * 0.9 + 0.1, 0)

    def results():
        given = rows(40).requires_grad_()
        more = [torch.linspace(0, 1, 14, dtype=F64)] if name == "alrp" else []
        found = getattr(reference, f"{name}_loss")(given, targets, *more, delta)
        found = found if isinstance(found, tuple) else (found,)
        sum(k * one for k, one in enumerate(found, 1) if one.requires_grad).backward()
        return [*(one.detach().double() for one in found), given.grad]

    wanted = results()
    for block in (1, 200):
        monkeypatch.setattr(scores, "BLOCK", block)
        same(results(), wanted)


def test_queries_of_an_evaluation_in_blocks(monkeypatch):
    query, gallery = rows(13, 4), rows(60, 4, seed=1)
    ids = torch.arange(13) % 5 + 1, torch.arange(60) % 6 + 1
    cameras = torch.arange(13) % 2, torch.arange(60) // 6 % 3
    told = []

    def places(**keyword):
        given = (query, ids[0], cameras[0], gallery, ids[1], cameras[1])
        found = metrics.evaluate(*given, backend="reference", **keyword)
        return found.ap, found.inp, found.first_match

    wanted = places()
    monkeypatch.setattr(evaluate, "BLOCK_BYTES", 8 * 60 * 5)
    got = places(progress=lambda done, total: told.append((done, total)))
    assert all(torch.equal(g, w) for g, w in zip(got, wanted, strict=True))
    assert told == [(5, 13), (10, 13), (13, 13)]


def test_the_reference_is_what_a_function_runs():
    """So what is true of drsl_cuda.reference is true of backend="reference"."""
    x, labels = rows(12, 4), torch.arange(12) % 4
    for name in LOSSES:
        plain = getattr(reference, f"{name}_loss")(x, labels)
        called = getattr(functional, f"{name}_loss")(x, labels, backend="reference")
        assert torch.equal(plain, called)
