"""python bench/ranks.py: one batch over 1, 2, 3, 4 processes of this machine (Gloo), both modes.

A row for each: milliseconds of forward + backward by the clock, the least over rounds of the slowest
rank; by the processor, of the rank that worked most, which says more where others use the cores too;
and the peak of memory that a rank asked for meanwhile. Every process has one thread. Before, the
ranks' loss and gradient are checked. --size G --dim D --positives K --loss drsl
"""

import argparse
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

import drsl_cuda
from drsl_cuda.distributed import DistributedLoss

LOSSES = {
    "drsl": drsl_cuda.DRSLLoss,
    "fidi": drsl_cuda.FIDILoss,
    "smooth_ap": drsl_cuda.SmoothAPLoss,
    "triplet": drsl_cuda.BatchHardTripletLoss,
}


def batch(options):
    """Rows around the centres of their labels, in an order that spreads a label over the ranks."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(options.size) % (options.size // options.positives)
    centres = torch.randn(options.size // options.positives, options.dim, generator=draw)
    return centres[labels] + torch.randn(options.size, options.dim, generator=draw), labels


def step(criterion, x, labels):
    leaf = x.clone().requires_grad_()
    loss = criterion(leaf, labels)
    loss.backward()
    return loss.detach(), leaf.grad


def peak(work):
    """Bytes of memory that a call adds at most to what is there (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")  # the mark goes back to what is held now
    before = _status("VmRSS")
    work()
    return _status("VmHWM") - before


def _status(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(field)).split()[1])


def work(rank, ranks, meet, mode, options):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{meet}", rank=rank, world_size=ranks,
        timeout=timedelta(seconds=120),
    )  # fmt: skip
    x, labels = batch(options)
    loss = LOSSES[options.loss]()
    criterion = DistributedLoss(loss, mode=mode)
    here = slice(*(options.size * k // ranks for k in (rank, rank + 1)))
    value, gradient = step(criterion, x[here], labels[here])
    if options.check:
        wanted, of_all = step(loss, x, labels)
        error = (gradient / ranks - of_all[here]).norm()
        assert abs(value - wanted) <= 1e-5 * wanted and error <= 1e-4 * of_all[here].norm()
    x, labels = x[here].clone(), labels[here].clone()
    held = peak(lambda: step(criterion, x, labels))
    taken = torch.zeros(options.rounds, 2, ranks, dtype=torch.float64)
    for round_ in taken:
        dist.barrier()
        begin, worked = time.perf_counter(), time.process_time()
        step(criterion, x, labels)
        round_[:, rank] = torch.tensor([time.perf_counter() - begin, time.process_time() - worked])
    held = torch.tensor([held])
    dist.all_reduce(held, dist.ReduceOp.MAX)
    dist.all_reduce(taken)
    if rank == 0:
        clock, processor = (1e3 * taken.amax(-1).amin(0)).tolist()
        print(
            f"| {ranks} | {mode} | {clock:.0f} ms | {processor:.0f} ms | {held.item() / 1e6:.0f} MB |",
            flush=True,
        )
    dist.destroy_process_group()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--positives", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--loss", choices=LOSSES, default="drsl")
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--no-check", dest="check", action="store_false")
    options = parser.parse_args()
    print(f"{options.loss}, G = {options.size}, D = {options.dim}, K = {options.positives}\n")
    print("| ranks | mode | step | processor time | memory of a rank |\n|---|---|---|---|---|")
    for ranks in options.ranks:
        for mode in ("gather", "ring") if ranks > 1 else ("gather",):
            with tempfile.TemporaryDirectory() as folder:
                mp.spawn(work, (ranks, f"{folder}/meet", mode, options), nprocs=ranks)


if __name__ == "__main__":
    main()
