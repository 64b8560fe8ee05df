"""The memory bank as a module: types, duplicates, checkpoints, what a step costs, errors."""

import copy
import io
import pickle

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import drsl_cuda
from drsl_cuda import MemoryBank, functional
from test_memory_bank import step
from tolerances import BF16, F16, F32, F64, SAME, assert_close

DUPLICATES = pytest.mark.parametrize(
    "duplicate",
    [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), lambda m: saved_and_loaded(m)],
    ids=["deep", "pickle", "state_dict"],
)


def saved_and_loaded(bank):
    file = io.BytesIO()
    torch.save(bank.state_dict(), file)
    file.seek(0)
    fresh = MemoryBank(bank.size, bank.dim, dtype=bank.rows.dtype)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    return fresh


# ------------------------------------------------------------------------- types


@pytest.mark.parametrize("stored", [F16, BF16, F32, F64], ids=str)
@pytest.mark.parametrize("given", [F16, BF16, F32, F64], ids=str)
def test_types_of_embeddings(given, stored, device):
    bank = MemoryBank(20, 5, dtype=stored, device=device)
    x, labels = step(0, dtype=given, device=device)
    gallery, gallery_labels, own = bank(x, labels)
    assert gallery.dtype == stored and torch.equal(gallery, x.to(stored))
    loss = functional.drsl_loss(x, labels, gallery, gallery_labels, self_index=own)
    wanted = functional.drsl_loss(x, labels, x.detach().to(stored), labels, self_index=own)
    assert_close(loss, wanted, SAME[F32].loss)
    loss.backward()
    assert x.grad.dtype == given


@pytest.mark.parametrize(
    "dtype", [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint64], ids=str
)
@pytest.mark.parametrize("stored", [torch.int64, torch.int32, torch.int8], ids=str)
def test_types_of_labels(dtype, stored, device):
    bank = MemoryBank(20, 5, dtype=F64, label_dtype=stored, device=device)
    x, labels = step(0, device=device)
    gallery, gallery_labels, own = bank(x, labels.to(dtype))
    assert gallery_labels.dtype == stored and torch.equal(gallery_labels, labels.to(stored))
    loss = functional.drsl_loss(x, labels.to(dtype), gallery, gallery_labels, self_index=own)
    assert_close(loss, functional.drsl_loss(x, labels), SAME[F64].loss)


# ------------------------------------------------------------------------- a module


@DUPLICATES
@pytest.mark.parametrize("steps", [0, 1, 4])
def test_a_duplicate_goes_on_as_the_original(duplicate, steps):
    bank = MemoryBank(20, 5, dtype=F64)
    for number in range(steps):
        bank(*step(number))
    other = duplicate(bank)
    assert repr(other) == repr(bank) and other.filled == bank.filled
    for number in (8, 9):
        for mine, same in zip(other(*step(number)), bank(*step(number)), strict=True):
            assert torch.equal(mine, same)
    x, labels = step(10)
    before = bank.rows.clone()
    other(x, labels)
    assert torch.equal(bank.rows, before), "the duplicate has rows of its own"


def test_it_moves_and_converts_as_modules_do(device):
    bank = MemoryBank(20, 5)
    bank(*step(0, dtype=F32))
    moved = torch.nn.ModuleDict({"bank": bank}).to(device).double()["bank"]
    gallery, gallery_labels, own = moved(*step(1, device=device))
    assert gallery.dtype == F64 and gallery.shape == (14, 5) and gallery_labels.dtype == torch.int64
    assert gallery.device.type == gallery_labels.device.type == own.device.type == device.type
    assert not list(moved.parameters())


def test_a_checkpoint_of_another_size_is_refused():
    with pytest.raises(RuntimeError, match="size mismatch for rows"):
        MemoryBank(21, 5).load_state_dict(MemoryBank(20, 5).state_dict())


def test_its_repr():
    bank = MemoryBank(20, 5, sets=2, dtype=F16)
    assert repr(bank) == "MemoryBank(20, 5, sets=2, dtype=torch.float16, filled=0)"
    assert "MemoryBank" in drsl_cuda.__all__


# ------------------------------------------------------------------------- cost


def test_a_step_copies_its_batch_and_nothing_else():
    class Seen(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            names.append(func.overloadpacket._qualified_op_name.removeprefix("aten::"))
            if isinstance(out, torch.Tensor) and not func.is_view:
                sizes.append(out.numel())
            return out

    bank = MemoryBank(1000, 5)
    x, labels = step(0, 7, dtype=F32)
    for _ in range(150):  # it wraps on the way
        names, sizes = [], []
        with Seen():
            bank(x, labels)
        assert names.count("copy_") in (2, 4), "rows and labels, in one part or two"
        assert "_local_scalar_dense" not in names and "nonzero" not in names  # no look at a value
        assert max(sizes) <= x.numel()


# ------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"size": 0}, ValueError, "size must be >= 1, got 0"),
        ({"size": 2.0}, TypeError, "size must be an int, got float"),
        ({"dim": -1}, ValueError, "dim must be >= 1, got -1"),
        ({"sets": True}, TypeError, "sets must be an int, got bool"),
        ({"dtype": torch.int64}, TypeError, "dtype must be one of float32, .* got torch.int64"),
        ({"label_dtype": F32}, TypeError, "label_dtype must be one of int64, .* got torch.float32"),
    ],
    ids=str,
)
def test_settings_are_checked(arguments, error, message):
    with pytest.raises(error, match=message):
        MemoryBank(**({"size": 20, "dim": 5} | arguments))


@pytest.mark.parametrize(
    "x, labels, error, message",
    [
        (torch.ones(7, 4), torch.ones(7).long(), ValueError, r"shape \[B, 5\], got \[7, 4\]"),
        (torch.ones(2, 7, 5), torch.ones(7).long(), ValueError, r"\[B, 5\], got \[2, 7, 5\]"),
        (
            torch.ones(7, 5),
            torch.ones(6).long(),
            ValueError,
            r"labels must have shape \[B\] = \[7\]",
        ),
        (torch.ones(7, 5), torch.ones(7), TypeError, "labels must hold integers"),
        (torch.ones(7, 5).int(), torch.ones(7).long(), TypeError, "embeddings must be float16"),
        (
            torch.ones(7, 5, device="meta"),
            torch.ones(7, device="meta").long(),
            ValueError,
            "embeddings must be on the device of the bank, cpu, got meta",
        ),
    ],
    ids=["dim", "sets", "labels", "floats", "integers", "device"],
)
def test_a_batch_is_checked_before_anything_is_stored(x, labels, error, message):
    bank = MemoryBank(20, 5)
    with pytest.raises(error, match=message):
        bank(x, labels)
    assert bank.filled == 0 and not bank.rows.any()


def test_sets_are_checked():
    bank = MemoryBank(20, 5, sets=3)
    with pytest.raises(ValueError, match=r"embeddings must have shape \[3, B, 5\], got \[7, 5\]"):
        bank(torch.ones(7, 5), torch.ones(7).long())


# ------------------------------------------------------------------ a bank that is told its size only


@pytest.mark.parametrize("lead", [(), (3,)], ids=["rows", "sets"])
def test_the_first_batch_decides_what_was_not_said(lead, device):
    told = MemoryBank(20, 5, sets=lead[0] if lead else None, device=device)
    bank = MemoryBank(20)
    assert repr(bank) == "MemoryBank(20, dtype=torch.float32, filled=0)"
    assert bank.rows.numel() == 0 and bank.filled == 0
    for seed in range(5):
        x = torch.randn(*lead, 6, 5, device=device)
        labels = torch.arange(6, device=device) + seed
        for got, wanted in zip(bank(x, labels), told(x, labels), strict=True):
            assert torch.equal(got, wanted) and got.device == wanted.device
    assert repr(bank) == repr(told)
    with pytest.raises(ValueError, match="embeddings must have shape"):
        bank(torch.randn(*lead, 6, 4, device=device), labels)


def test_a_state_dict_decides_as_well():
    bank = MemoryBank(20)
    empty = bank.state_dict()
    bank(torch.randn(6, 5), torch.arange(6))
    fresh = MemoryBank(20)
    fresh.load_state_dict(empty)
    assert fresh.dim is None and fresh.filled == 0
    fresh.load_state_dict(bank.state_dict())
    assert all(map(torch.equal, fresh.entries(), bank.entries()))
    with pytest.raises(RuntimeError, match="size mismatch for rows"):
        MemoryBank(21).load_state_dict(bank.state_dict())


def test_sets_alone_do_not_say_what_a_row_is():
    with pytest.raises(ValueError, match="dim must be given where sets are"):
        MemoryBank(20, sets=2)
