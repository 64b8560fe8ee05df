"""Measures how far the losses are from float64, by type and scale: the tables of docs/numerics.md.

Usage: python tools/measure_errors.py

Random rows (64 of 64 numbers, 16 classes), and near ones (the same, 1e-3 apart, on a common offset of 1),
times a scale, which lengths among the parameters share. The truth is drsl_cuda.reference in float64 on
the rows as the type holds them. Errors are |got − right| / |right| of the loss and of the whole gradient,
the largest of five draws.
"""

import sys

import torch

from drsl_cuda import functional

F64, F32, F16, BF16 = torch.float64, torch.float32, torch.float16, torch.bfloat16
SEEDS = range(5)
NAMES = ("drsl", "fidi", "smooth_ap", "batch_hard_triplet")
# Below 1e-19 a row counts as zero in float32 and has no angle. float16 ends at 65504, and at 6e-8.
SCALES = {
    F64: (1e-3, 1.0, 1e3, 1e-30, 1e30),
    F32: (1e-3, 1.0, 1e3, 1e-15, 1e30),
    BF16: (1e-3, 1.0, 1e3, 1e-15, 1e30),
    F16: (1e-3, 1.0, 1e3),
}
# What tests/test_numerics.py holds: (loss, gradient). Near rows on an offset are none of half types,
# which have three digits.
BOUNDS = {
    F64: {"random": (1e-14, 1e-13), "near": (1e-14, 1e-11)},
    F32: {"random": (1e-6, 1e-5), "near": (1e-6, 2e-4)},
    F16: {"random": (1e-6, 1e-3)},
    BF16: {"random": (1e-6, 4e-3)},
}


def options(name, scale):
    """Parameters that are lengths go with the rows."""
    return {
        "drsl": {"delta": 0.5 * scale},
        "fidi": {"beta": 0.5 / scale},
        "smooth_ap": {},
        "batch_hard_triplet": {"margin": 0.3 * scale},
    }[name]


def rows(kind, dtype, scale, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(64, 64, generator=generator, dtype=F64)
    if kind == "near":
        x = 1 + 1e-3 * x
    return (scale * x).to(dtype)


def run(name, x, labels, scale, backend):
    """Loss and gradient of the sum, which float16 can hold."""
    x = x.detach().requires_grad_()  # where it lies
    function = getattr(functional, f"{name}_loss")
    loss = function(x, labels, reduction="sum", backend=backend, **options(name, scale))
    loss.backward()
    return loss.detach().to(F64), x.grad.to(F64)


def errors(name, kind, dtype, scale):
    """(loss, gradient): the largest of all draws."""
    labels, worst = torch.arange(64) % 16, [0.0, 0.0]
    for seed in SEEDS:
        x = rows(kind, dtype, scale, seed)
        got = run(name, x, labels, scale, "native")
        right = run(name, x.to(F64), labels, scale, "reference")
        for k, (a, b) in enumerate(zip(got, right, strict=True)):
            size = b.abs().max()
            worst[k] = max(worst[k], float(((a - b) / size).norm() / (b / size).norm()))
    return worst


def main():
    for dtype, scales in SCALES.items():
        for kind in BOUNDS[dtype]:
            print(f"\n{str(dtype).removeprefix('torch.')}, {kind} rows: loss / gradient\n")
            print("| scale |", " | ".join(NAMES), "|")
            print("|---|" + "---|" * len(NAMES))
            for scale in scales:
                found = [errors(name, kind, dtype, scale) for name in NAMES]
                print(f"| {scale:g} |", " | ".join(f"{a:.0e} / {b:.0e}" for a, b in found), "|")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
