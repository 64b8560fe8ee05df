"""What must hold without knowing the right answer: symmetries, equivalences, repeatability."""

import pytest
import torch

from cases import build
from running import drsl, loss_and_grads
from tolerances import F32, F64, SAME, assert_close

BACKENDS = pytest.mark.parametrize("backend", ["native", "reference"])


def batch(size=40, dim=12, classes=9, *, seed=0, device="cpu", sets=None):
    generator = torch.Generator().manual_seed(seed)
    shape = (size, dim) if sets is None else (sets, size, dim)
    x = torch.randn(*shape, generator=generator, dtype=F64)
    return x.to(device), (torch.arange(size) % classes).to(device)


@BACKENDS
def test_the_order_of_the_batch_does_not_matter(backend, device):
    x, labels = batch(device=device)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1)).to(device)
    straight = loss_and_grads(x, labels, reduction="none", backend=backend)
    shuffled = loss_and_grads(x[order], labels[order], reduction="none", backend=backend)
    assert_close(shuffled[0], straight[0][order], SAME[F64].loss)
    assert_close(shuffled[1], straight[1][order], SAME[F64].grad)


@BACKENDS
def test_the_order_of_the_gallery_does_not_matter(backend, device):
    c = build("bank_excluded")
    parts = [
        t.to(device) for t in (c.x, c.labels, c.gallery, c.gallery_labels, c.self_index, c.exclude)
    ]
    x, labels, gallery, gallery_labels, self_index, exclude = parts
    order = torch.randperm(len(gallery), generator=torch.Generator().manual_seed(2)).to(device)
    straight = loss_and_grads(
        x, labels, gallery, gallery_labels, self_index=self_index, exclude=exclude, backend=backend
    )
    shuffled = loss_and_grads(
        x, labels, gallery[order], gallery_labels[order],
        self_index=torch.argsort(order)[self_index], exclude=exclude[:, order], backend=backend,
    )  # fmt: skip
    assert_close(shuffled[0], straight[0], SAME[F64].loss)
    assert_close(shuffled[1], straight[1], SAME[F64].grad)
    assert_close(shuffled[2], straight[2][order], SAME[F64].grad)


@BACKENDS
def test_labels_are_names(backend, device):
    x, labels = batch(device=device)
    names = torch.tensor([7, -3, 2**62, 0, -(2**63), 5, 2**63 - 1, 1, -1], device=device)
    plain = loss_and_grads(x, labels, backend=backend)
    renamed = loss_and_grads(x, names[labels], backend=backend)
    assert_close(renamed[0], plain[0], SAME[F64].loss)
    assert_close(renamed[1], plain[1], SAME[F64].grad)


@BACKENDS
def test_a_rotation_of_the_space_rotates_the_gradient(backend, device):
    x, labels = batch(device=device)
    turn = torch.linalg.qr(
        torch.randn(12, 12, generator=torch.Generator().manual_seed(3), dtype=F64)
    )[0].to(device)
    plain = loss_and_grads(x, labels, backend=backend)
    turned = loss_and_grads(x @ turn, labels, backend=backend)
    assert_close(turned[0], plain[0], SAME[F64].loss)
    assert_close(turned[1], plain[1] @ turn, SAME[F64].grad)


@BACKENDS
def test_a_translation_changes_nothing_but_angles(backend, device):
    # Both the sort and the angle term look at angles, which a translation changes.
    x, labels = batch(device=device)
    settings = {"sort_weight": 0.0, "angle_weight": 0.0, "backend": backend}
    plain, moved = (
        loss_and_grads(x, labels, **settings),
        loss_and_grads(x + 3.0, labels, **settings),
    )
    assert_close(moved[0], plain[0], SAME[F64].loss)
    assert_close(moved[1], plain[1], SAME[F64].grad)
    assert not torch.isclose(
        drsl(x, labels, backend=backend), drsl(x + 3.0, labels, backend=backend)
    )


@BACKENDS
def test_scaling_space_and_delta_together_changes_nothing(backend, device):
    x, labels = batch(device=device)
    plain = loss_and_grads(x, labels, delta=0.5, backend=backend)
    scaled = loss_and_grads(8 * x, labels, delta=4.0, backend=backend)
    assert_close(scaled[0], plain[0], SAME[F64].loss)
    # The angle's gradient is divided by the scale, the others' stays: compare those two alone.
    settings = {"angle_weight": 0.0, "backend": backend}
    plain, scaled = (loss_and_grads(s * x, labels, delta=s / 2, **settings)[1] for s in (1, 8))
    assert_close(scaled, plain, SAME[F64].grad)


@BACKENDS
def test_normalisation_ignores_the_lengths(backend, device):
    x, labels = batch(device=device)
    lengths = 2.0 ** (torch.arange(40, device=device, dtype=F64) % 7 - 3)[:, None]
    plain = loss_and_grads(x, labels, normalize=True, backend=backend)
    stretched = loss_and_grads(x * lengths, labels, normalize=True, backend=backend)
    assert_close(stretched[0], plain[0], SAME[F64].loss)
    assert_close(stretched[1] * lengths, plain[1], SAME[F64].grad)


@BACKENDS
def test_normalising_oneself_is_the_same(backend, device):
    x, labels = batch(device=device)
    x.requires_grad_()
    inside = torch.autograd.grad(drsl(x, labels, normalize=True, backend=backend), x)[0]
    outside = torch.autograd.grad(
        drsl(torch.nn.functional.normalize(x), labels, backend=backend), x
    )[0]
    assert_close(inside, outside, SAME[F64].grad)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", ["batch", "gallery", "sets"])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_two_runs_give_the_same_bits(name, reduction, threads, device):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        x, labels = batch(260, 33, 61, device=device, sets=3 if name == "sets" else None)
        given = (x.to(F32), labels)
        if name == "gallery":
            given += (
                batch(700, 33, 61, seed=1, device=device)[0].to(F32),
                torch.arange(700, device=device) % 61,
            )
        runs = [loss_and_grads(*given, reduction=reduction, weight=None) for _ in range(4)]
    finally:
        torch.set_num_threads(before)
    for again in runs[1:]:
        for first, second in zip(runs[0], again, strict=True):
            assert first is None or torch.equal(first, second)


@pytest.mark.parametrize("dtype", [F64, F32], ids=str)
def test_the_number_of_threads_changes_no_more_than_rounding(dtype, device):
    x, labels = batch(260, 33, 61, device=device)
    before, results = torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        try:
            results.append(loss_and_grads(x.to(dtype), labels))
        finally:
            torch.set_num_threads(before)
    assert_close(results[0][0], results[1][0], SAME[dtype].loss)
    assert_close(results[0][1], results[1][1], SAME[dtype].grad)


@BACKENDS
@pytest.mark.parametrize("name", ["sets_3", "sets_gallery", "sets_masks", "sets_normalize"])
def test_sets_are_separate_problems(name, backend, device):
    c = build(name)
    shared = {"self_index": c.self_index, "exclude": c.exclude} | c.options
    shared = {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in shared.items()}
    x, labels = c.x.to(device), c.labels.to(device)
    gallery = None if c.gallery is None else c.gallery.to(device)
    gallery_labels = None if c.gallery is None else c.gallery_labels.to(device)
    together = loss_and_grads(
        x, labels, gallery, gallery_labels, reduction="none", backend=backend, **shared
    )
    for s in range(len(x)):
        one = None if gallery is None else gallery[s]
        alone = loss_and_grads(
            x[s], labels, one, gallery_labels, reduction="none", backend=backend, **shared
        )
        for whole, part in zip(together, alone, strict=True):
            if part is not None:
                assert_close(whole[s], part, SAME[F64].grad)


@BACKENDS
@pytest.mark.parametrize("name", ["uneven", "excluded_rows", "sets_masks"])
def test_reductions_are_sums_of_the_unreduced(name, backend, device):
    c = build(name)
    masks = {"self_index": c.self_index, "exclude": c.exclude}
    masks = {k: None if v is None else v.to(device) for k, v in masks.items()}
    given = [
        None if t is None else t.to(device) for t in (c.x, c.labels, c.gallery, c.gallery_labels)
    ]
    each = loss_and_grads(*given, **masks, reduction="none", backend=backend)
    total = loss_and_grads(*given, **masks, reduction="sum", backend=backend)
    mean = loss_and_grads(*given, **masks, reduction="mean", backend=backend)
    counting = (each[0] != 0).sum()  # in these cases no counting query happens to have loss 0
    assert 0 < counting < each[0].numel()
    assert_close(total[0], each[0].sum(), SAME[F64].loss)
    assert_close(mean[0], each[0].sum() / counting, SAME[F64].loss)
    for side in (1, 2):
        if each[side] is not None:
            assert_close(total[side], each[side], SAME[F64].grad)
            assert_close(mean[side], each[side] / counting, SAME[F64].grad)


@BACKENDS
def test_weights_of_the_unreduced_loss_weigh_the_queries_gradients(backend, device):
    x, labels = batch(device=device)
    weight = torch.randn(40, generator=torch.Generator().manual_seed(4), dtype=F64).to(device)
    _, wanted, _ = loss_and_grads(x, labels, reduction="none", weight=weight, backend=backend)
    total = torch.zeros_like(x)
    for q in range(40):
        only = torch.eye(40, dtype=F64, device=device)[q]
        _, one, _ = loss_and_grads(x, labels, reduction="none", weight=only, backend=backend)
        total += weight[q] * one
    assert_close(wanted, total, SAME[F64].grad)


@BACKENDS
@pytest.mark.parametrize("dtype", [F64, F32], ids=str)
def test_the_batch_as_gallery_with_its_own_indices_is_the_plain_batch(dtype, backend, device):
    x, labels = batch(device=device)
    x, own = x.to(dtype), torch.arange(40, device=device)
    plain = loss_and_grads(x, labels, backend=backend)
    spelt_out = loss_and_grads(x, labels, x, labels, self_index=own, backend=backend)
    assert_close(spelt_out[0], plain[0], SAME[dtype].loss)
    assert_close(spelt_out[1] + spelt_out[2], plain[1], SAME[dtype].grad)


@BACKENDS
def test_excluding_an_entry_from_everyone_is_leaving_it_out(backend, device):
    c = build("gallery")
    x, labels, gallery, gallery_labels = (
        t.to(device) for t in (c.x, c.labels, c.gallery, c.gallery_labels)
    )
    hidden = torch.arange(len(gallery), device=device) % 3 == 0
    exclude = hidden.expand(len(x), -1).contiguous()
    masked = loss_and_grads(x, labels, gallery, gallery_labels, exclude=exclude, backend=backend)
    shorter = loss_and_grads(x, labels, gallery[~hidden], gallery_labels[~hidden], backend=backend)
    assert_close(masked[0], shorter[0], SAME[F64].loss)
    assert_close(masked[1], shorter[1], SAME[F64].grad)
    assert_close(masked[2][~hidden], shorter[2], SAME[F64].grad)
    assert not masked[2][hidden].any()
