"""The calls of other libraries with any list of pairs or parts, against the losses by hand."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from by_hand import anchors_of, per_anchor
from drsl_cuda.integrations import reid
from fuzz_kit import fuzz
from pml_kit import CLASSES, function
from tolerances import CONTRACT, F64, assert_close

CRITERIA = {
    "drsl": reid.DRSLLoss,
    "fidi": reid.FIDILoss,
    "smooth_ap": reid.SmoothAPLoss,
    "batch_hard_triplet": reid.BatchHardTripletLoss,
}


def rows(size, dim, seed):
    return torch.randn(size, dim, generator=torch.Generator().manual_seed(seed), dtype=F64)


@st.composite
def mined(draw):
    """Rows, labels, a reference or None, and what a miner might list: pairs, or triplets."""
    size, classes = draw(st.integers(1, 10)), draw(st.integers(1, 4))
    entries = draw(st.one_of(st.none(), st.integers(1, 12)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    labels = torch.randint(classes, (size,), generator=generator)
    others = labels if entries is None else torch.randint(classes, (entries,), generator=generator)
    same = labels[:, None] == others
    unlike = ~same
    if entries is None:
        same = same & ~torch.eye(size, dtype=torch.bool)
    share = draw(st.sampled_from([0.0, 0.3, 1.0]))
    some = torch.rand(same.shape, generator=generator) < share
    pairs = (*(same & some).nonzero().T, *(unlike & some).nonzero().T)
    if draw(st.booleans()):
        triples = [
            (a, p, n)
            for a, p in zip(*map(torch.Tensor.tolist, pairs[:2]), strict=True)
            for b, n in zip(*map(torch.Tensor.tolist, pairs[2:]), strict=True)
            if a == b
        ]
        listed = torch.tensor(triples, dtype=torch.int64).reshape(-1, 3).T.unbind()
        pairs = (listed[0], listed[1], listed[0], listed[2])
    else:
        listed = pairs
    return size, labels, entries, others, tuple(listed), pairs, draw(st.integers(0, 2**31))


@fuzz(150)
@given(st.sampled_from(list(CLASSES)), mined())
def test_any_list_of_pairs(name, problem):
    size, labels, entries, others, listed, pairs, seed = problem
    x = rows(size, 5, seed).requires_grad_()
    r = x if entries is None else rows(entries, 5, seed + 1)
    reference = {} if entries is None else {"ref_emb": r, "ref_labels": others}
    loss = CLASSES[name]()(x, labels, listed, **reference)
    each = per_anchor(name, x, r, anchors_of(pairs, size))
    wanted = sum(each.values()) / len(each) if each else x.sum() * 0
    # By hand Smooth-AP is 1 − (almost 1).
    assert_close(loss, wanted, CONTRACT[F64].loss, floor=1e-12)
    got, right = (torch.autograd.grad(value, x)[0] for value in (loss, wanted))
    # Smooth-AP's slopes are up to 1/4τ = 25, and may cancel.
    assert_close(got, right, CONTRACT[F64].grad, floor=1e-12)


@fuzz(100)
@given(
    st.sampled_from(list(CRITERIA)),
    st.lists(st.integers(1, 6), min_size=1, max_size=4),
    st.integers(0, 9),
    st.booleans(),
    st.sampled_from(["mean", "none"]),
    st.integers(0, 2**31),
)
def test_any_list_of_parts(name, dims, size, normalize, reduction, seed):
    parts = [rows(size, dim, seed + k).requires_grad_() for k, dim in enumerate(dims)]
    target = torch.randint(3, (size,), generator=torch.Generator().manual_seed(seed))
    adapter = reid.AsTriplet(CRITERIA[name](reduction=reduction))
    loss, positive, negative = adapter(parts, target, normalize_feature=normalize)
    options = {"normalize": normalize, "reduction": reduction}
    wanted = torch.stack([function(name)(p, target, **options) for p in parts]).mean(0)
    assert_close(loss, wanted, CONTRACT[F64].loss)
    same = target[:, None] == target
    scaled = [torch.nn.functional.normalize(p.detach()) if normalize else p.detach() for p in parts]
    apart = [(p[:, None] - p).square().sum(-1).sqrt() for p in scaled]
    if size:
        far = torch.stack([torch.where(same, d, 0).amax(1) for d in apart]).mean(0)
        near = torch.stack([torch.where(same, torch.inf, d).amin(1) for d in apart]).mean(0)
        assert_close(positive, far, 1e-9, floor=1e-12)
        assert torch.equal(negative.isinf(), near.isinf())
        assert_close(negative[near.isfinite()], near[near.isfinite()], 1e-9, floor=1e-12)
