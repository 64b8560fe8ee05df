"""Memory: a batch of 16384 has B² = 2.7·10⁸ pairs (1 GiB in float32), which must never be held at once."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="needs Linux's /proc"
)

LIMIT_MIB = 200

SCRIPT = """
import torch
from drsl_cuda import functional


def peak():  # MiB; of this program alone, where getrusage remembers the parent's
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


torch.set_num_threads(2)
size, dim, use_gallery = {size}, {dim}, {gallery}
x = torch.randn(size, dim).requires_grad_()
labels = torch.arange(size) % (size // 4)
small = torch.randn(64, dim).requires_grad_()
functional.drsl_loss(small, labels[:64] % 16).backward()  # libraries and threads are loaded by now
gallery = torch.randn(size, dim) if use_gallery else None
before = peak()
loss = functional.drsl_loss(x, labels, gallery, labels if use_gallery else None, reduction={reduction!r})
loss.sum().backward()
assert x.grad.abs().sum() > 0 and loss.isfinite().all()
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("gallery", [False, True], ids=["batch", "gallery"])
def test_peak_memory_of_a_large_batch(reduction, gallery):
    script = SCRIPT.format(size=16384, dim=128, gallery=gallery, reduction=reduction)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=1200, check=False
    )
    assert done.returncode == 0, done.stderr
    grown = float(done.stdout)
    # 200 MiB is the project's promise. The gradient itself (8 MiB) is in it, so 0 would mean that
    # nothing was measured.
    assert 8 <= grown <= LIMIT_MIB, f"grew by {grown:.0f} MiB"
