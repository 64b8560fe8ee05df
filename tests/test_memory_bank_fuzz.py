"""The memory bank under any sequence of what can be done to it, beside a deque."""

import copy

import torch
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from drsl_cuda import MemoryBank
from fuzz_kit import options
from test_memory_bank import ByHand, in_order, step
from tolerances import BF16, F32, F64


class Bank(RuleBasedStateMachine):
    @initialize(
        size=st.integers(1, 12),
        sets=st.sampled_from([None, 2]),
        dtype=st.sampled_from([F64, F32, BF16]),
    )
    def make(self, size, sets, dtype):
        self.sets, self.dtype = sets, dtype
        self.bank = MemoryBank(size, 5, sets=sets, dtype=dtype)
        self.by_hand = ByHand(size)

    @rule(seed=st.integers(0, 999), batch=st.integers(0, 30))
    def store(self, seed, batch):
        x, labels = step(seed, batch, sets=self.sets)
        gallery, gallery_labels, own = self.bank(x, labels)
        self.by_hand.store(x.to(self.dtype), labels)
        here = own >= 0
        assert [bool(h) for h in here] == [k >= 0 for k in self.by_hand.own(batch)]
        assert torch.equal(gallery[..., own[here], :], x[..., here, :].to(self.dtype))
        assert torch.equal(gallery_labels[own[here]], labels[here])

    @rule()
    def clear(self):
        self.bank.clear()
        self.by_hand.kept.clear()

    @rule()
    def save_and_load(self):
        state = copy.deepcopy(self.bank.state_dict())
        self.bank = MemoryBank(self.bank.size, 5, sets=self.sets, dtype=self.dtype)
        self.bank.load_state_dict(state)

    @rule()
    def copy(self):
        self.bank = copy.deepcopy(self.bank)

    @invariant()
    def holds_the_last_rows(self):
        gallery, labels = self.bank.entries()
        assert self.bank.filled == len(self.by_hand.kept) == len(labels) == gallery.shape[-2]
        assert not gallery.requires_grad
        if len(labels):
            rows, kept = self.by_hand.all()
            ordered = in_order(self.bank, gallery, labels)
            assert torch.equal(ordered[0], rows) and torch.equal(ordered[1], kept)


TestBank = Bank.TestCase
TestBank.settings = options(60)
