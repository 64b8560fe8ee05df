"""Runs a call of an operator below the Python checks, and says what every call has to keep, right or wrong:

- it returns, or raises RuntimeError with words of ours or of torch's about memory;
- twice the same call gives the same bits, though the first found its results' memory full of NaN;
- inputs are left as they were, and results share no memory with them;
- with a tensor on the meta device, one that holds no numbers, nothing is computed.
"""

import torch

from made_up_tensors import small

# Ours, and those of torch's dispatcher.
WORDS = ("drsl: ", "drsl_cuda: ", "Could not run")


def run(name, arguments, namespace="drsl"):
    """Results, or the error. Any other exception than RuntimeError goes through."""
    try:
        results = getattr(getattr(torch.ops, namespace), name).default(*arguments)
    except RuntimeError as error:
        if not any(word in str(error) for word in WORDS):
            raise AssertionError(f"{name} does not say what is wrong: {error}") from error
        return error
    return results if isinstance(results, tuple) else (results,)


def _bits(t):
    """Something that equals itself, NaN included."""
    return t.clone(memory_format=torch.contiguous_format).flatten().view(torch.uint8)


def check(name, arguments, namespace="drsl"):
    """Runs a call and raises AssertionError where it breaks what the top of this file promises."""
    given = [a for a in arguments if isinstance(a, torch.Tensor)]
    before = [a.clone() if small(a) else None for a in given]
    torch.use_deterministic_algorithms(True)  # new memory is filled
    try:
        first = run(name, arguments, namespace)
    finally:
        torch.use_deterministic_algorithms(False)
    for a, kept in zip(given, before, strict=True):
        assert kept is None or torch.equal(_bits(a), _bits(kept)), f"{name} wrote to an input"
    if isinstance(first, RuntimeError):
        return first
    if all(t.is_meta for t in given):
        return first  # shapes and types, for tracing
    assert not any(t.is_meta for t in given), f"{name} computed without numbers"
    second = run(name, arguments, namespace)
    assert not isinstance(second, RuntimeError), f"{name} raised when called again: {second}"
    pointers = {a.untyped_storage().data_ptr() for a in given if a.numel()}
    for i, (one, other) in enumerate(zip(first, second, strict=True)):
        assert torch.equal(_bits(one), _bits(other)), (
            f"{name}: result {i} differs when called again"
        )
        assert not one.numel() or one.untyped_storage().data_ptr() not in pointers, (
            f"{name}: aliases"
        )
    return first
