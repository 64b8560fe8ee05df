"""python -m drsl_cuda: what was built, whether it is right here, and how fast it is here."""

import argparse
import statistics
import sys
import time
from functools import partial

import torch

import drsl_cuda
from drsl_cuda import functional, reference

LOSSES = {  # name: (native and reference, module)
    "DRSL": ("drsl_loss", drsl_cuda.DRSLLoss),
    "FIDI": ("fidi_loss", drsl_cuda.FIDILoss),
    "Smooth-AP": ("smooth_ap_loss", drsl_cuda.SmoothAPLoss),
    "triplet": ("batch_hard_triplet_loss", drsl_cuda.BatchHardTripletLoss),
}
CHECKED = (  # name, loss, (B, K, D), options, type
    ("float64", "DRSL", (48, 4, 32), {}, torch.float64),
    ("float32", "DRSL", (96, 4, 64), {}, torch.float32),
    ("unit length", "DRSL", (64, 8, 32), {"normalize": True, "delta": 0.1}, torch.float64),
    ("exact step", "DRSL", (48, 6, 16), {"delta": 0.0}, torch.float64),
    ("many positives", "DRSL", (320, 160, 16), {}, torch.float64),
    ("per query", "DRSL", (40, 4, 16), {"reduction": "none"}, torch.float64),
    ("FIDI", "FIDI", (48, 4, 32), {}, torch.float64),
    ("Smooth-AP", "Smooth-AP", (48, 4, 32), {}, torch.float64),
    ("triplet", "triplet", (48, 4, 32), {}, torch.float64),
)
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}  # docs/losses.md asks for no more
TIMED = (
    (64, 4, 2048), (256, 4, 2048), (1024, 4, 512),
    (1024, 16, 512), (4096, 4, 512), (4096, 16, 512), (4096, 2048, 512), (8, 4, 64),
)  # fmt: skip


def batch(size, per_identity, dim, dtype=torch.float32, seed=0):
    """`size` random features of identities that have `per_identity` each, and their labels."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(size, dim, generator=generator, dtype=dtype)
    return x, torch.arange(size) // per_identity


def gradient(function, x, labels, options):
    x = x.clone().requires_grad_()
    loss = function(x, labels, **options)
    loss.sum().backward()
    return loss.detach(), x.grad


def self_check(device):
    """One line a case; whether all agree with the reference."""
    agree = True
    for name, loss, shape, options, dtype in CHECKED:
        x, labels = batch(*shape, dtype=dtype)
        function = LOSSES[loss][0]
        want = gradient(getattr(reference, function), x, labels, options)
        have = gradient(getattr(functional, function), x.to(device), labels.to(device), options)
        error = max(
            float((h.cpu() - w).norm() / w.norm().clamp(min=1e-30))
            for h, w in zip(have, want, strict=True)
        )
        good = error <= TOLERANCE[dtype]
        agree &= good
        print(f"  {name:<16} {error:.1e}  {'ok' if good else 'WRONG'}")
    return agree


def medians_ms(steps, seconds):
    """Median times of the steps, taken in turns so that a busy machine is busy for all of them."""
    times = [[] for _ in steps]
    end = time.perf_counter() + seconds
    while len(times[0]) < 5 or time.perf_counter() < end:
        for step, taken in zip(steps, times, strict=True):
            start = time.perf_counter()
            step()
            taken.append(time.perf_counter() - start)
    return [1e3 * statistics.median(taken[2:]) for taken in times]  # two to warm up


def timing_table(shapes, seconds):
    print(
        f"  {'(B, K, D)':<16} {'products':>9}" + "".join(f" {name:>9}" for name in LOSSES), end=""
    )
    print(f" {'reference':>10}")
    for shape in shapes:
        x, labels = batch(*shape)
        s = torch.randn(len(x), len(x))
        leaf = x.clone().requires_grad_()

        def step(criterion, leaf=leaf, labels=labels):
            leaf.grad = None
            criterion(leaf, labels).backward()

        def products(x=x, s=s):
            return x @ x.T, s @ x

        ours = [partial(step, module()) for _, module in LOSSES.values()]
        floor, *times = medians_ms([products, *ours], seconds)
        slow = "-"  # the reference takes minutes, and gigabytes, beyond
        if len(x) <= 1024:
            plain = partial(step, drsl_cuda.DRSLLoss(backend="reference"))
            slow = f"{medians_ms([plain], seconds)[0]:.1f} ms"
        ratios = "".join(f" {time / floor:>9.2f}" for time in times)
        print(f"  {shape!s:<16} {floor:>6.3g} ms{ratios} {slow:>10}")
    print(
        "  forward + backward, medians. products: X @ X.T and S @ X, which any implementation pays"
    )
    print("  for; the losses as multiples of that; reference: DRSL in plain PyTorch")


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m drsl_cuda", description=__doc__)
    parser.add_argument("--full", action="store_true", help="more sizes, more time each")
    parser.add_argument(
        "--no-timing", action="store_true", help="only what was built and the self-check"
    )
    arguments = parser.parse_args(arguments)

    print("drsl_cuda")
    for key, value in drsl_cuda.build_info().items():
        print(f"  {key:<12} {value}")
    x, labels = batch(64, 4, 2048)
    print(f"\nA batch of 64 × 2048 would go this way\n  {drsl_cuda.explain(x, labels)}")
    agree = True
    devices = [
        d for d in drsl_cuda.build_info()["devices"] if d == "cpu" or torch.cuda.is_available()
    ]
    for device in devices:
        print(f"\nSelf-check on {device}: relative distance from the reference, loss and gradient")
        agree &= self_check(device)
    if not arguments.no_timing:
        print("\nTime on this machine's CPU")
        shapes = TIMED if arguments.full else TIMED[:3]
        timing_table(shapes, seconds=5.0 if arguments.full else 0.7)
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
