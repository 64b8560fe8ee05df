"""Compares the losses on scores with the code that their authors published.

    git clone https://github.com/kemaloksuz/RankSortLoss
    git clone https://github.com/cccorn/AP-loss
    git clone https://github.com/kemaloksuz/aLRPLoss
    python tools/compare_with_authors.py --rank-sort RankSortLoss --ap AP-loss --alrp aLRPLoss

Any of the three may be left out. Their code is loaded from the checkouts and runs on the CPU with
its buffers in float64. Printed is the largest difference over all cases, relative to the largest
number of what is compared; the exit status is 1 if one is above 1e-6 (docs/losses.md).
"""

import argparse
import ast
import contextlib
import sys
from pathlib import Path

import torch

from drsl_cuda import functional

ALLOWED = 1e-6
SIZES = ((1, 1), (12, 12), (40, 1), (60, 8), (500, 60), (3000, 300))  # entries, positives
DELTAS = (0.5, 1.0, 0.05, 4.0)


@contextlib.contextmanager
def on_cpu_in_float64():
    """Their buffers are torch.zeros(...).cuda(): here they stay, and are float64."""
    dtype, cuda = torch.get_default_dtype(), torch.Tensor.cuda
    torch.set_default_dtype(torch.float64)
    torch.Tensor.cuda = lambda tensor, *_, **__: tensor
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)
        torch.Tensor.cuda = cuda


def load(checkout, path, *names):
    """Some functions and classes of a file, without what else it imports."""
    file = Path(checkout, path)
    if not file.exists():
        sys.exit(f"{checkout} is no checkout of the repository that is wanted: it has no {path}")
    tree = ast.parse(file.read_text(), str(file))
    tree.body = [node for node in tree.body if getattr(node, "name", None) in names]
    scope = {"torch": torch}
    exec(compile(tree, str(file), "exec"), scope)
    return [scope[name] for name in names]


def problems(soft):
    """(name, scores, targets, regression losses), float64."""
    for entries, positives in SIZES:
        for ties in (False, True):
            generator = torch.Generator().manual_seed(entries + positives)

            def uniform(*shape, generator=generator):
                return torch.rand(*shape, generator=generator, dtype=torch.float64)

            scores = torch.randn(entries, generator=generator, dtype=torch.float64)
            targets = torch.zeros(entries, dtype=torch.float64)
            chosen = torch.randperm(entries, generator=generator)
            targets[chosen[:positives]] = 0.1 + 0.9 * uniform(positives) if soft else 1.0
            scores[chosen[:positives]] += 1.0
            targets[chosen[positives + (entries - positives) * 9 // 10 :]] = -1.0
            if ties:  # every score, and every soft label, several times; edges of ramps are hit
                scores = (scores * 4).round() / 4
                targets = torch.where(targets > 0, (targets * 4).ceil() / 4, targets)
            name = f"{entries} entries, {positives} positives{', ties' if ties else ''}"
            yield name, scores, targets, uniform(positives)


def ours(loss, scores, *arguments):
    """Losses and the gradient of their sum."""
    leaf = scores.clone().requires_grad_()
    results = loss(leaf, *arguments)
    results = results if isinstance(results, tuple) else (results,)
    sum(result for result in results if result.requires_grad).backward()
    return [*[result.detach() for result in results if result.is_floating_point()], leaf.grad]


def difference(have, want):
    """The largest difference of two lists of tensors, relative to the largest number of each."""
    worst = 0.0
    for h, w in zip(have, want, strict=True):
        scale = max(float(w.abs().max()), 1e-12)
        worst = max(worst, float((h - w.reshape(h.shape)).abs().max()) / scale)
    return worst


def rank_sort_cases(checkout):
    (theirs,) = load(checkout, "mmdet/models/losses/ranking_losses.py", "RankSort")
    for name, scores, targets, _ in problems(soft=True):
        for delta in (*DELTAS, 0.0):
            have = ours(functional.rank_sort_loss, scores, targets, delta)
            with on_cpu_in_float64():
                want = ours(theirs.apply, scores, targets, delta)
            yield f"{name}, delta {delta}", have, want


def ap_cases(checkout):
    (theirs,) = load(checkout, "lib/model/aploss.py", "AP_loss")
    for name, scores, targets, _ in problems(soft=False):
        have = ours(functional.ap_loss, scores, targets, 1.0)
        with on_cpu_in_float64():
            gradient, loss = theirs(scores, targets)
        yield name, have, [loss, gradient]


def alrp_cases(checkout):
    (theirs,) = load(checkout, "mmdet/models/losses/alrp_loss.py", "aLRPLoss")
    for name, scores, targets, regression in problems(soft=False):
        for delta in DELTAS:
            have = functional.alrp_loss(scores, targets, regression, delta)
            sorted_by = [scores[targets > 0][have[2]]]
            have = [*ours(functional.alrp_loss, scores, targets, regression, delta), *sorted_by]
            with on_cpu_in_float64():
                leaf = scores.clone().requires_grad_()
                loss, rank, order = theirs.apply(leaf, targets, regression, delta)
                loss.backward()
            # among ties any order is one: compare what is ordered
            want = [loss.detach(), rank.detach(), leaf.grad, scores[targets > 0][order.detach()]]
            yield f"{name}, delta {delta}", have, want


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rank-sort", metavar="CHECKOUT", help="of kemaloksuz/RankSortLoss")
    parser.add_argument("--ap", metavar="CHECKOUT", help="of cccorn/AP-loss")
    parser.add_argument("--alrp", metavar="CHECKOUT", help="of kemaloksuz/aLRPLoss")
    arguments = parser.parse_args()
    compared = (
        ("Rank & Sort", rank_sort_cases, arguments.rank_sort),
        ("AP", ap_cases, arguments.ap),
        ("aLRP", alrp_cases, arguments.alrp),
    )
    if not any(checkout for *_, checkout in compared):
        parser.error("name at least one checkout")
    worst = 0.0
    for loss, cases, checkout in compared:
        if checkout:
            differences = [(difference(have, want), name) for name, have, want in cases(checkout)]
            largest, where = max(differences)
            print(f"{loss:<12} {len(differences)} cases, largest {largest:.1e}  ({where})")
            worst = max(worst, largest)
    return 0 if worst <= ALLOWED else 1


if __name__ == "__main__":
    sys.exit(main())
