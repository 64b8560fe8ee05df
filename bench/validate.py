"""Before anything is timed: results against the reference in float64.

Ours: of the whole problem where that is small; otherwise of some queries against all the others, their
gradient with respect to all rows. Others that compute the same loss: its mean and gradient against the
reference, or, where that is too much, against ours, which is checked in the same case. Others that
compute another loss: finite, and with a gradient.
"""

from dataclasses import asdict, dataclass

import torch

from bench import steps
from bench.steps import FUNCTIONS
from drsl_cuda import functional, metrics, reference

WHOLE_PAIRS = 2**24  # B · n · G, or positives times scores
CHUNK_PAIRS = 2**25  # that the reference holds at a time
QUERIES, POSITIVES = 32, 200  # that are looked at where all are too many
SCORE_PAIRS = {"cpu": 2e9, "cuda": 2e10}  # that the reference is asked for, in half a minute

# ‖theirs − reference‖ / ‖reference‖ of (loss, gradient). The sort term jumps where two positives have
# the same angle to rounding; where that happens to one pair in a thousand it moves a gradient by
# as much as this allows.
LIMITS = {
    "float64": (1e-9, 1e-7),
    "float32 highest": (1e-4, 1e-3),
    "float32 high": (1e-2, 5e-2),  # products rounded to 11 bits
    "bfloat16": (1e-3, 1e-2),  # the gradient comes rounded to 8 bits
    "float16": (1e-3, 1e-2),
}


@dataclass
class Check:
    good: bool
    against: str  # what it was compared with
    loss: float | None = None  # relative distances
    gradient: float | None = None
    queries: int | None = None  # that were looked at, None: all

    def told(self):
        if self.loss is None:
            return f"{self.against}: {'yes' if self.good else 'no'}"
        some = "" if self.queries is None else f" of {self.queries} queries"
        return f"loss {self.loss:.1e}, gradient {self.gradient:.1e}{some} off {self.against}"

    as_dict = asdict


def limits(case):
    return LIMITS[f"{case.dtype} {case.precision}" if case.dtype == "float32" else case.dtype]


def distance(theirs, wanted):
    """NaN counts as infinitely far."""
    wanted = wanted.double()
    far = (theirs.double() - wanted).norm() / wanted.norm().clamp(min=1e-300)
    return float(far.nan_to_num(torch.inf))


def verdict(case, against, loss, gradient, queries=None, also=True):
    allowed = limits(case)
    good = loss <= allowed[0] and gradient <= allowed[1] and also
    return Check(good, against, loss, gradient, queries)


def pairs(case):
    return case.sets * case.size * case.columns * max(1, case.positives)


def ours(step, value, case, loss, data):
    if case.kind == "evaluation":
        return retrieval(value, data)
    if case.kind == "scores":
        return scores_of(step, value, case, loss, data)
    return some_queries(step, value, case, loss, data)


def some_queries(step, value, case, loss, data):
    count = case.size if pairs(case) <= WHOLE_PAIRS else min(QUERIES, case.size)
    chosen = torch.arange(count, device=data.x.device) * (case.size // count)
    leaves = [leaf.detach().clone().requires_grad_() for leaf in steps.leaves_of(case, data)]
    rest = leaves[1:] or ([] if data.gallery is None else [data.gallery])
    labels = [] if data.gallery is None else [data.gallery_labels]
    function = getattr(functional, FUNCTIONS[loss])
    each = function(leaves[0], data.labels, *rest, *labels, reduction="none")
    weight = torch.zeros_like(each)
    weight[..., chosen] = 1
    each.backward(weight)

    exact = [leaf.detach().double().requires_grad_() for leaf in leaves]
    wanted = by_chunks(case, loss, data, exact, chosen)
    far = distance(each.detach()[..., chosen], wanted)
    off = max(distance(a.grad, b.grad) for a, b in zip(leaves, exact, strict=True))
    queries = None if count == case.size else count
    agrees = mean_agrees(step, value, each.detach())
    return verdict(case, "the reference", far, off, queries, agrees)


def by_chunks(case, loss, data, exact, chosen):
    """Losses [.., n] of some queries by the reference; gradients of their sum go to `exact`."""
    function = getattr(reference, FUNCTIONS[loss])
    rows = max(1, CHUNK_PAIRS // (case.sets * case.columns * max(1, case.positives)))
    found = []
    for part in chosen.split(rows):
        if data.gallery is None:
            more = (exact[0], data.labels)
            own = {"self_index": part}
        else:
            more = (exact[1] if case.both_sides else data.gallery.double(), data.gallery_labels)
            own = {}
        value = function(exact[0][..., part, :], data.labels[part], *more, **own, reduction="none")
        value.sum().backward()
        found.append(value.detach())
    return torch.cat(found, -1)


def mean_agrees(step, value, each):
    """The mean, which is what is timed, against the mean of what was checked: all queries count."""
    finite = all(bool(gradient.isfinite().all()) for gradient in step.gradients)
    return distance(value.detach(), each.double().mean()) < 1e-5 and finite


def same(step, value, case, loss, data):
    """A step that computes the loss's mean."""
    if case.kind != "scores" and pairs(case) <= WHOLE_PAIRS:
        return whole(step, value, case, loss, data)
    known = case.kind == "scores" and score_pairs(data) <= SCORE_PAIRS[data.scores.device.type]
    build = steps.plain if known else steps.ours
    wanted = build(case, loss, data._replace(scores=data.scores.double()) if known else data)
    return compared(case, step, value, wanted, "the reference" if known else "ours")


def compared(case, step, value, wanted, against):
    number, value = wanted.both(), value.detach()
    off = max(distance(a, b) for a, b in zip(step.gradients, wanted.gradients, strict=True))
    return verdict(case, against, distance(value, number), off)


def scores_of(step, value, case, loss, data):
    """Ours on scores. Where there are too many pairs, all but some positives are left out of them."""
    few = data
    if score_pairs(data) > SCORE_PAIRS[data.scores.device.type]:
        positives = (data.targets > 0).nonzero()[:, 0]
        targets = data.targets.clone()
        targets[positives[POSITIVES:]] = -1.0
        few = data._replace(targets=targets, regression=data.regression[:POSITIVES])
        wide = data._replace(scores=data.scores.double())
        found = compared(case, step, value, steps.ours(case, loss, wide), "ours in float64")
        if not found.good:
            return found
        step = steps.ours(case, loss, few)
        value = step.both()
    exact = steps.plain(case, loss, few._replace(scores=few.scores.double()))
    some = "" if few is data else f", with {POSITIVES} positives"
    return compared(case, step, value, exact, f"the reference{some}")


def whole(step, value, case, loss, data):
    exact = [leaf.detach().double().requires_grad_() for leaf in steps.leaves_of(case, data)]
    chosen = torch.arange(case.size, device=data.x.device)
    number = by_chunks(case, loss, data, exact, chosen).mean()
    count = case.sets * case.size
    off = max(distance(a, b.grad / count) for a, b in zip(step.gradients, exact, strict=True))
    return verdict(case, "the reference", distance(value.detach(), number), off)


def score_pairs(data):
    return len(data.scores) * int((data.targets > 0).sum())


def looked_at(step, value):
    """Another loss: all that can be asked of it."""
    good = bool(value.isfinite().all())
    for gradient in step.gradients:
        good = good and gradient is not None and bool(gradient.isfinite().all() and gradient.any())
    return Check(good, "finite, with a gradient")


def retrieval(value, data):
    """Places of some queries, which no other query changes."""
    chosen = torch.arange(QUERIES) * (len(data.query) // QUERIES)
    some = [tensor[chosen.to(tensor.device)] for tensor in data[:3]]
    want = metrics.evaluate(*some, *data[3:], backend="reference")
    off = distance(value.ap[chosen].nan_to_num(0), want.ap.nan_to_num(0))
    good = off < 1e-12 and bool((value.first_match[chosen] == want.first_match).all())
    return Check(good, "the reference", off, 0.0, QUERIES)


def check(contender, step, value, case, loss, data):
    """Of a step that ran, and what it returned."""
    from bench.contenders import OURS

    if contender.name == OURS:
        return ours(step, value, case, loss, data)
    if not contender.same:
        return looked_at(step, value)
    return same(step, value, case, loss, data)
