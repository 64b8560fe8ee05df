"""Who computes: the native library, or the reference."""

from typing import Any

from drsl_cuda import _check, _ops
from drsl_cuda._types import Backend

BACKENDS: tuple[Backend, ...] = ("auto", "native", "reference")


def runs_natively(op: Any, device: str, backend: Backend) -> bool:
    """Whether an operator runs in native code for a device, as far as `backend` allows."""
    _check.choice("backend", backend, BACKENDS)
    native = device in _ops.DEVICES[op]
    if backend == "native" and not native:
        raise ValueError(
            f"backend must be 'auto' or 'reference' on {device}: this build has no kernel"
        )
    return native and backend != "reference"
