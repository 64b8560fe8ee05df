"""Numbers, choices and flags."""

import sys
from collections.abc import Collection
from typing import TypeVar

from drsl_cuda._check.tensors import kind
from drsl_cuda._types import Identities

_LARGEST = sys.float_info.max
_Choice = TypeVar("_Choice", bound=str)  # one of Literal[...] stays that


def whole(name: str, value: int, low: int) -> int:
    """An int, at least `low`."""
    if type(value) is bool or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, got {kind(value)}")
    if value < low:
        raise ValueError(f"{name} must be >= {low}, got {value}")
    return value


def identities(name: str, value: Identities) -> tuple[int, ...]:
    """A tuple of the integers in a list, tuple, set or range."""
    if not isinstance(value, (list, tuple, set, frozenset, range)):
        raise TypeError(f"{name} must be a sequence of integers, got {kind(value)}")
    for one in value:
        if type(one) is bool or not isinstance(one, int):
            raise TypeError(f"{name} must hold integers, got {kind(one)}")
        if not -(2**63) <= one < 2**63:
            raise ValueError(f"{name} must hold numbers of 64 bits, got {one}")
    return tuple(value)


def number(name: str, value: float, low: float | None = None, low_open: bool = False) -> float:
    """A finite real number as a float, at least `low` (above it with `low_open`)."""
    python_type = type(value)
    if python_type is not float and (python_type is bool or not isinstance(value, (int, float))):
        raise TypeError(f"{name} must be a number, got {kind(value)}")
    if not -_LARGEST <= value <= _LARGEST:
        raise ValueError(f"{name} must be finite, got {value}")
    if low is not None and (value <= low if low_open else value < low):
        raise ValueError(f"{name} must be {'>' if low_open else '>='} {low:g}, got {value}")
    return float(value)


def margin(value: float | None) -> float | None:
    """A finite number, at least 0, as a float, or None."""
    if value is None or isinstance(value, (int, float)):
        return None if value is None else number("margin", value, low=0.0)
    raise TypeError(f"margin must be a number or None, got {kind(value)}")


def choice(name: str, value: _Choice, allowed: Collection[str]) -> _Choice:
    """One of the strings in `allowed`."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {_listed(allowed)}, got {kind(value)}")
    if value not in allowed:
        raise ValueError(f"{name} must be one of {_listed(allowed)}, got {value!r}")
    return value


def flag(name: str, value: bool) -> bool:
    """A bool."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {kind(value)}")
    return value


def no_terms(loss: str, value: bool) -> None:
    """return_terms of a loss that has none: False."""
    if flag("return_terms", value):
        raise ValueError(f"return_terms must be False for {loss}, which has no terms, got True")


def _listed(allowed: Collection[str]) -> str:
    return ", ".join([repr(option) for option in allowed])
