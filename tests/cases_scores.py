"""Named rows of scores and targets, and how the three losses run on them.

Values lie on bfloat16's grid, so every type holds the same numbers and one float64 oracle answers
for all of them. H is continuous for δ > 0, and at δ = 0 equal scores are equal in every type.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

import oracle_scores
from drsl_cuda import functional, reference
from tolerances import BF16, F64

INF, NAN = float("inf"), float("nan")
DELTAS = (0.5, 1.0, 0.0, 2.0**-6, 8.0)
LOSSES = ("rank_sort", "ap", "ap_plain", "alrp")

_BUILDERS = {}


@dataclass(frozen=True)
class Case:
    scores: torch.Tensor  # float64 [N]
    targets: torch.Tensor
    regression: torch.Tensor  # [n]


def names():
    return list(_BUILDERS)


@cache
def build(name):
    scores, targets = _BUILDERS[name]()
    targets = on_grid(targets)
    rng = np.random.default_rng(len(name))
    regression = on_grid(rng.uniform(0, 2, int((targets > 0).sum())))
    return Case(on_grid(scores), targets, regression)


@cache
def expected(name, loss, delta):
    c = build(name)
    return oracle(loss, c.scores.numpy(), c.targets.numpy(), c.regression.numpy(), delta)


def oracle(loss, scores, targets, regression, delta):
    if loss == "rank_sort":
        return oracle_scores.rank_sort(scores, targets, delta)
    if loss == "alrp":
        return oracle_scores.alrp(scores, targets, regression, delta)
    return oracle_scores.ap(scores, targets, delta, loss == "ap")


def run(loss, scores, targets, regression, delta, backend="native"):
    """The tuple of what the loss returns."""
    package = reference if backend == "reference" else functional
    options = {} if backend == "reference" else {"backend": backend}
    if loss == "rank_sort":
        return package.rank_sort_loss(scores, targets, delta, **options)
    if loss == "alrp":
        return package.alrp_loss(scores, targets, regression, delta, **options)
    return (package.ap_loss(scores, targets, delta, loss == "ap", **options),)


def gradients(results, leaf):
    """The gradient of each result that has one, by itself."""
    losses = [result for result in results if result.requires_grad]
    return [torch.autograd.grad(loss.sum(), leaf, retain_graph=True)[0] for loss in losses]


def problem(entries=80, positives=12, *, seed=0, dtype=F64, device="cpu"):
    scores, targets = (torch.as_tensor(v) for v in detector(entries, positives, seed=seed))
    regression = torch.linspace(0.5, 1.5, positives)
    return tuple(v.to(device, dtype) for v in (scores, targets, regression))


def on_grid(values):
    return torch.as_tensor(np.asarray(values), dtype=F64).to(BF16).to(F64)


def case(builder):
    _BUILDERS[builder.__name__] = builder
    return builder


def detector(entries, positives, *, seed=0, shift=1.0, ignored=0.1, soft=True):
    """Positives score higher on average; some entries are ignored, with scores like any."""
    rng = np.random.default_rng((seed, entries, positives))
    scores, targets = rng.standard_normal(entries), np.zeros(entries)
    order = rng.permutation(entries)
    chosen, rest = order[:positives], order[positives:]
    targets[chosen] = rng.uniform(0.2, 1, positives) if soft else 1.0
    scores[chosen] += shift
    targets[rest[: int(ignored * len(rest))]] = -1
    return scores, targets


@case
def soft_labels():
    return detector(160, 24)


@case
def hard_labels():
    return detector(160, 24, soft=False)


@case
def a_third_positive():
    return detector(120, 40, ignored=0.0)


@case
def many_positives():
    return detector(110, 80)


@case
def one_positive():
    return detector(50, 1, seed=3)


@case
def one_entry():
    return [0.5], [0.75]


@case
def two_entries():
    return [0.25, 0.5], [1, 0]


@case
def all_positive():
    return detector(40, 40)


@case
def all_negative():
    return detector(40, 0)


@case
def all_ignored():
    return detector(20, 0)[0], -np.ones(20)


@case
def nothing():
    return [], []


@case
def ties():
    scores, targets = detector(150, 40, seed=1)
    return np.round(2 * scores) / 2, np.ceil(4 * targets) / 4


@case
def all_equal():
    return np.full(30, 0.75), np.tile([0.5, 0.0, 1.0], 10)


@case
def equal_targets_in_reverse():
    return np.arange(12) / 4, [0.5, 0, 0.5] * 4


@case
def sorted_the_wrong_way():
    return np.arange(16) / 8, np.linspace(1, 0.25, 16)


@case
def edges_of_ramps():
    """Differences of exactly ±δ for all deltas that are used."""
    offsets = np.array([0, 0.5, -0.5, 1, -1, 2.0**-6, -(2.0**-6), 8, -8])
    return np.concatenate([offsets, offsets + 0.5, offsets]), np.repeat([0.5, 1.0, 0.0], 9)


@case
def perfect():
    return np.concatenate([10 + np.arange(5), np.zeros(20)]), np.repeat([1.0, 0.0], [5, 20])


@case
def hopeless():
    return np.concatenate([-10 - np.arange(5), np.zeros(20)]), np.repeat([1.0, 0.0], [5, 20])


@case
def barely_a_false_positive():
    return [4.0, 3.0078125, -2, -3], [1.0, 0, 0.5, 0]


@case
def masked():
    scores, targets = detector(80, 10, seed=4)
    return np.where((targets == 0) & (np.arange(80) % 3 == 0), -INF, scores), targets


@case
def all_negatives_masked():
    scores, targets = detector(30, 6, seed=5)
    return np.where(targets == 0, -INF, scores), targets


@case
def ignored_are_no_numbers():
    scores, targets = detector(90, 12, seed=6, ignored=0.3)
    odd = np.resize([NAN, INF, -INF], 90)
    return np.where(targets < 0, odd, scores), np.where(
        targets < 0, np.resize([-1, -INF], 90), targets
    )


@case
def far_apart():
    """Clusters that no ramp connects, at scales where a common origin would lose all digits."""
    scores, targets = detector(120, 30, seed=7)
    return scores + np.resize([0, 1e4, -1e4, 1e8, -1e30], 120), targets


@case
def labels_beyond_one():
    scores, targets = detector(70, 12, seed=8)
    return scores, np.where(targets > 0, 4 * targets, 2 * targets)


def _with(column, score=None, target=None):
    def builder():
        scores, targets = detector(40, 8, seed=9)
        k = (
            np.flatnonzero(targets > 0)[2]
            if column == "positive"
            else np.flatnonzero(targets == 0)[3]
        )
        scores[k] = scores[k] if score is None else score
        targets[k] = targets[k] if target is None else target
        scores[np.flatnonzero(targets == 0)[0]] = -INF
        return scores, targets

    return builder


for _side in ("positive", "negative"):
    for _name, _value in (("nan", NAN), ("inf", INF)):
        _BUILDERS[f"{_side}_{_name}"] = _with(_side, score=_value)
_BUILDERS["positive_minus_inf"] = _with("positive", score=-INF)
_BUILDERS["target_nan"] = _with("negative", target=NAN)
_BUILDERS["target_inf"] = _with("positive", target=INF)


@case
def nan_without_positives():
    return [NAN, INF, 0.0], [0, 0, -1]
