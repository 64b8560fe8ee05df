"""The memory bank: what is in it, where, and what a loss makes of it."""

from collections import deque

import pytest
import torch

from drsl_cuda import MemoryBank, functional
from tolerances import F64, SAME, assert_close


def step(number, size=7, dim=5, *, sets=None, device="cpu", dtype=F64):
    generator = torch.Generator().manual_seed(number)
    shape = (size, dim) if sets is None else (sets, size, dim)
    x = torch.randn(shape, generator=generator, dtype=F64).to(device, dtype).requires_grad_()
    return x, torch.randint(4, (size,), generator=generator).to(device)


class ByHand:
    """The last `size` rows that came, oldest first."""

    def __init__(self, size):
        self.kept = deque(maxlen=size)

    def store(self, x, labels):
        self.kept.extend(zip(x.detach().clone().unbind(-2), labels.clone(), strict=True))

    def all(self):
        rows, labels = zip(*self.kept, strict=True)
        return torch.stack(rows, -2), torch.stack(labels)

    def own(self, batch):
        """Place of the batch in all(), -1 for what is gone again."""
        return [max(len(self.kept) - batch + q, -1) for q in range(batch)]


def in_order(bank, rows, labels):
    """Rows and labels of a ring, oldest first."""
    oldest = bank._stored % bank.size if bank._stored > bank.size else 0
    return rows.roll(-oldest, -2), labels.roll(-oldest, 0)


# ------------------------------------------------------------------------- what is in it


@pytest.mark.parametrize("sets", [None, 3])
@pytest.mark.parametrize("size", [1, 6, 7, 20, 21, 100], ids="of {}".format)
def test_the_last_rows_are_kept_and_own_copies_found(size, sets, device):
    bank, by_hand = MemoryBank(size, 5, sets=sets, dtype=F64, device=device), ByHand(size)
    for number, batch in enumerate((7, 7, 3, 7, 0, 7, 1, 7, 30, 7)):
        x, labels = step(number, batch, sets=sets, device=device)
        by_hand.store(x, labels)
        gallery, gallery_labels, own = bank(x, labels)
        rows, kept_labels = by_hand.all()
        assert bank.filled == len(kept_labels) == gallery.shape[-2]
        ordered = in_order(bank, gallery, gallery_labels)
        assert torch.equal(ordered[0], rows) and torch.equal(ordered[1], kept_labels)
        assert [column >= 0 for column in own.tolist()] == [k >= 0 for k in by_hand.own(batch)]
        here = own >= 0
        assert torch.equal(gallery[..., own[here], :], x[..., here, :])
        assert torch.equal(gallery_labels[own[here]], labels[here])


def test_a_loss_against_the_bank_is_the_loss_against_these_rows(device):
    bank, by_hand = MemoryBank(20, 5, dtype=F64, device=device), ByHand(20)
    for number in range(6):
        x, labels = step(number, device=device)
        by_hand.store(x, labels)
        gallery, gallery_labels, own = bank(x, labels)
        loss = functional.drsl_loss(x, labels, gallery, gallery_labels, self_index=own)
        where = torch.tensor(by_hand.own(7), device=device)
        wanted = functional.drsl_loss(x, labels, *by_hand.all(), self_index=where)
        assert_close(loss, wanted, SAME[F64].loss)
        (grad,) = torch.autograd.grad(loss, x)
        assert_close(grad, torch.autograd.grad(wanted, x)[0], SAME[F64].grad)
        unaware = functional.drsl_loss(x, labels, gallery, gallery_labels)
        assert not torch.allclose(loss, unaware), "own copies must matter here"


def test_a_first_step_is_the_batch_against_itself(device):
    x, labels = step(0, 24, device=device)
    gallery, gallery_labels, own = MemoryBank(100, 5, dtype=F64, device=device)(x, labels)
    loss = functional.drsl_loss(x, labels, gallery, gallery_labels, self_index=own)
    assert_close(loss, functional.drsl_loss(x, labels), SAME[F64].loss)


def test_the_steps_before_alone(device):
    bank, by_hand = MemoryBank(20, 5, dtype=F64, device=device), ByHand(20)
    for number in range(6):
        x, labels = step(number, device=device)
        gallery, gallery_labels = bank.entries()
        loss = functional.drsl_loss(x, labels, gallery, gallery_labels, reduction="none").sum()
        loss.backward()
        if number == 0:
            assert loss == 0
        else:
            y = x.detach().clone().requires_grad_()
            wanted = functional.drsl_loss(y, labels, *by_hand.all(), reduction="none").sum()
            wanted.backward()
            assert_close(loss, wanted, SAME[F64].loss)
            assert_close(x.grad, y.grad, SAME[F64].grad)
        bank.store(x, labels)
        by_hand.store(x, labels)


def test_storing_before_backward_is_noticed():
    bank = MemoryBank(20, 5, dtype=F64)
    bank.store(*step(0))
    x, labels = step(1)
    loss = functional.drsl_loss(x, labels, *bank.entries(), reduction="none").sum()
    bank.store(x, labels)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_no_gradient_flows_into_the_bank():
    bank = MemoryBank(20, 5, dtype=F64)
    first, labels = step(0)
    bank(first, labels)
    x, labels = step(1)
    gallery, gallery_labels, own = bank(x * 2, labels)
    assert not gallery.requires_grad and gallery.grad_fn is None
    functional.drsl_loss(x * 2, labels, gallery, gallery_labels, self_index=own).backward()
    assert first.grad is None and x.grad.any()


@pytest.mark.parametrize("inside", [torch.no_grad, torch.inference_mode])
def test_without_autograd(inside):
    bank = MemoryBank(20, 5, dtype=F64)
    with inside():
        x, labels = step(0)
        bank(x * 1, labels)
    y, y_labels = step(1)
    gallery, _, _ = bank(y, y_labels)
    assert torch.equal(gallery, torch.cat([x, y]))


def test_clear_forgets(device):
    bank = MemoryBank(20, 5, dtype=F64, device=device)
    bank(*step(0, device=device))
    bank.clear()
    assert bank.filled == 0 and bank.entries()[0].shape == (0, 5)
    x, labels = step(1, device=device)
    gallery, _, own = bank(x, labels)
    assert torch.equal(gallery, x) and own.tolist() == [*range(7)]
