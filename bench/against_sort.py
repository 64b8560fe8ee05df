"""python bench/against_sort.py: losses on scores, forward and backward, against one torch.sort of the scores.

A sort is what any exact ranking loss is measured by. Rows are those of a detector: most entries negative,
positives higher on average (`spread`), or all nearly alike, as before training (`crowded`). Each is
checked against the reference before it is timed, wherever that takes less than a minute.
"""

import argparse
import json
import sys
from typing import NamedTuple

import torch
from timing import Timer

from drsl_cuda import functional, reference

PAIRS = 2e10  # positives times entries that the reference is asked for


class Rows(NamedTuple):
    entries: int
    positives: int
    crowded: bool = False

    @property
    def name(self):
        return f"({self.entries}, {self.positives}) {'crowded' if self.crowded else 'spread'}"


FULL = (
    Rows(10**6, 10**4),
    Rows(10**6, 10**4, crowded=True),
    Rows(10**5, 2000),
    Rows(10**6, 10**5),
    Rows(10**5, 10**5),
)
QUICK = (Rows(2000, 50), Rows(2000, 50, crowded=True))
LOSSES = {
    "rank_sort": lambda package, s, t: sum(package.rank_sort_loss(s, t)),
    "ap": lambda package, s, t: package.ap_loss(s, t),
    "alrp": lambda package, s, t: package.alrp_loss(s[None], t[None], t[None])[0].sum(),
}
AIM = 2.5  # sorts that Rank & Sort should take at the first of these rows, at most


def problem(rows, device):
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(rows.entries, generator=generator) * (1e-3 if rows.crowded else 1.0)
    targets = torch.zeros(rows.entries)
    chosen = torch.randperm(rows.entries, generator=generator)[: rows.positives]
    targets[chosen] = torch.rand(rows.positives, generator=generator).clamp(min=0.01)
    scores[chosen] += 1e-3 if rows.crowded else 1.0
    return scores.to(device), targets.to(device)


def step(loss, package, scores, targets):
    """A function that computes loss and gradient."""
    leaf = scores.clone().requires_grad_()
    targets = targets.clone()

    def run():
        return torch.autograd.grad(LOSSES[loss](package, leaf, targets), leaf)[0]

    return run


def error(loss, scores, targets):
    ours, wanted = (step(loss, p, scores, targets)() for p in (functional, reference))
    return ((ours - wanted).norm() / wanted.norm()).item()


def measure(rows, timer, device, seconds):
    scores, targets = problem(rows, device)
    functions = {"sort": lambda: torch.sort(scores)}
    errors = {}
    for loss in LOSSES:
        functions[loss] = step(loss, functional, scores, targets)
    if rows.entries * rows.positives <= PAIRS:
        errors = {loss: error(loss, scores, targets) for loss in LOSSES}
    ms = timer.in_turns(functions, seconds)
    return {"rows": rows.name, "errors": errors, "ms": ms}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--quick", action="store_true", help="small rows: does it run at all")
    parser.add_argument("--seconds", type=float, default=3, help="for each kind of rows")
    parser.add_argument("--out", help="results as JSON")
    arguments = parser.parse_args(arguments)
    timer, results = Timer(arguments.device), []
    for rows in QUICK if arguments.quick else FULL:
        found = measure(rows, timer, arguments.device, arguments.seconds)
        results.append(found)
        sort = found["ms"]["sort"]["median"]
        told = ", ".join(
            f"{name} {ms['median']:.3f} ms = {ms['median'] / sort:.2f} sorts"
            for name, ms in found["ms"].items()
            if name != "sort"
        )
        worst = max(found["errors"].values(), default=float("nan"))
        print(f"{rows.name}: sort {sort:.3f} ms, {told}; error {worst:.1e}", flush=True)
    if arguments.out:
        with open(arguments.out, "w") as file:
            json.dump(results, file, indent=1)
    first = results[0]["ms"]
    print(
        f"aim: {AIM} sorts for rank_sort on {results[0]['rows']}, got "
        f"{first['rank_sort']['median'] / first['sort']['median']:.2f}"
    )
    wrong = [r["rows"] for r in results if any(not e <= 1e-4 for e in r["errors"].values())]
    return f"wrong: {', '.join(wrong)}" if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
