"""Strides, views and shared memory change nothing, and inputs are left as they were."""

import pytest
import torch

from running import drsl, loss_and_grads
from tolerances import F64, assert_close

BACKENDS = pytest.mark.parametrize("backend", ["native", "reference"])


def rows(*shape, seed=0, dtype=F64, device="cpu"):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=F64).to(device, dtype)


def batch(size=24, dim=10, classes=6, *, seed=0, dtype=F64, device="cpu"):
    return rows(size, dim, seed=seed, dtype=dtype, device=device), torch.arange(
        size, device=device
    ) % classes


LAYOUTS = {
    "transposed": lambda x: x.T.contiguous().T,
    "every_other_column": lambda x: torch.stack([x, -x], dim=-1).flatten(-2)[:, ::2],
    "every_other_row": lambda x: torch.stack([x, -x], dim=1).flatten(0, 1)[::2],
    "inside_a_larger": lambda x: torch.nn.functional.pad(x, (3, 2, 1, 4), value=9.0)[1:-4, 3:-2],
    "unaligned": lambda x: torch.cat([x.new_zeros(1), x.flatten()])[1:].view_as(x),
}


@BACKENDS
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("normalize", [False, True])
def test_strides_do_not_matter(layout, normalize, backend, device):
    x, labels = batch(device=device)
    r, r_labels = batch(17, seed=1, device=device)
    for given in ((x, labels), (x, labels, r, r_labels)):
        wanted = loss_and_grads(*given, backend=backend, normalize=normalize)
        leaves = [t.clone().requires_grad_() if t.is_floating_point() else t for t in given]
        viewed = [LAYOUTS[layout](t) if t.is_floating_point() else t for t in leaves]
        assert torch.equal(viewed[0], x)
        loss = drsl(*viewed, backend=backend, normalize=normalize)
        loss.backward()
        assert_close(loss, wanted[0], 1e-12)  # alignment may change the order of additions
        assert_close(leaves[0].grad, wanted[1], 1e-12)
        if len(given) == 4:
            assert_close(leaves[2].grad, wanted[2], 1e-12)


@BACKENDS
def test_rows_that_share_memory_add_their_gradients(backend, device):
    # Zero strides: all rows of a class are one row. expand's backward sums over them.
    one = rows(1, 7, device=device).requires_grad_()
    other = rows(9, 7, seed=1, device=device)
    labels = torch.tensor([0] * 5 + [1] * 9, device=device)
    wanted = loss_and_grads(torch.cat([one.detach().expand(5, 7), other]), labels, backend=backend)
    loss = drsl(torch.cat([one.expand(5, 7), other]), labels, backend=backend)
    loss.backward()
    assert_close(loss, wanted[0], 1e-12)
    assert_close(one.grad[0], wanted[1][:5].sum(0), 1e-12)
    # The expanded tensor itself, as queries against a gallery.
    one.grad = None
    r_labels = torch.arange(9, device=device) % 2
    given = (torch.zeros(5, dtype=torch.int64, device=device), other, r_labels)
    drsl(one.expand(5, 7), *given, backend=backend).backward()
    spread = loss_and_grads(one.detach().expand(5, 7).contiguous(), *given, backend=backend)
    assert_close(one.grad[0], spread[1].sum(0), 1e-12)


@BACKENDS
def test_strides_of_labels_masks_and_upstream_gradients_do_not_matter(backend, device):
    x, labels = batch(device=device)
    exclude = rows(24, 24, seed=2, device=device) > 0.8
    index = torch.arange(24, device=device).roll(1)
    weight = rows(24, seed=3, device=device)
    settings = {"reduction": "none", "backend": backend}
    wanted = loss_and_grads(x, labels, self_index=index, exclude=exclude, weight=weight, **settings)
    got = loss_and_grads(
        x, torch.stack([labels, labels + 1], 1)[:, 0], self_index=torch.stack([index, index], 1)[:, 1],
        exclude=exclude.T.contiguous().T, weight=torch.stack([weight, -weight], 1)[:, 0], **settings,
    )  # fmt: skip
    for mine, same in zip(got[:2], wanted[:2], strict=True):
        assert torch.equal(mine, same)
    # An expanded mask and an expanded upstream gradient (what .sum().backward() sends).
    column = exclude[:1].expand(24, 24)
    wanted = loss_and_grads(
        x, labels, exclude=column.contiguous(), weight=torch.ones_like(weight), **settings
    )
    got = loss_and_grads(
        x, labels, exclude=column, weight=weight.new_ones(1).expand(24), **settings
    )
    assert torch.equal(got[0], wanted[0]) and torch.equal(got[1], wanted[1])


@BACKENDS
def test_inputs_are_left_as_they_were(backend, device):
    x, labels = batch(device=device)
    x[3] = 0.0
    r, r_labels = batch(17, seed=1, device=device)
    exclude = rows(24, 17, seed=2, device=device) > 0.5
    given = [x, labels, r, r_labels, exclude]
    before = [t.clone() for t in given]
    loss_and_grads(x, labels, r, r_labels, exclude=exclude, normalize=True, backend=backend)
    assert all(torch.equal(a, b) for a, b in zip(given, before, strict=True))
