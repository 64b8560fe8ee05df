"""Who computes: the native library, or the reference."""

from drsl_cuda import _check, _ops

BACKENDS = ("auto", "native", "reference")


def runs_natively(op, device, backend):
    """Whether an operator runs in native code for a device, as far as `backend` allows."""
    _check.choice("backend", backend, BACKENDS)
    native = device in _ops.DEVICES[op]
    if backend == "native" and not native:
        raise ValueError(
            f"backend must be 'auto' or 'reference' on {device}: this build has no kernel"
        )
    return native and backend != "reference"
