"""Before anything is timed: our loss and gradient against the reference in float64.

Of the whole problem where that is small; otherwise of some queries against all the others, their
gradient with respect to all rows.
"""

import torch

from drsl_cuda import functional, reference

WHOLE_PAIRS = 2**24  # B · n · G
QUERIES = 32

# ‖ours − reference‖ / ‖reference‖ of (loss, gradient). The sort term jumps where two positives have
# the same angle to rounding; where that happens to one pair in a thousand it moves a gradient by
# as much as this allows.
LIMITS = {
    "float64": (1e-9, 1e-7),
    "float32 highest": (1e-4, 1e-3),
    "float32 high": (1e-2, 5e-2),  # products rounded to 11 bits
    "bfloat16": (1e-3, 1e-2),  # the gradient comes rounded to 8 bits
    "float16": (1e-3, 1e-2),
}


def limits(problem):
    kind = str(problem.dtype).removeprefix("torch.")
    return LIMITS[f"{kind} {problem.precision}" if kind == "float32" else kind]


def distance(ours, wanted):
    """NaN counts as infinitely far."""
    wanted = wanted.double()
    far = (ours.double() - wanted).norm() / wanted.norm().clamp(min=1e-300)
    return float(far.nan_to_num(torch.inf))


def chosen_queries(problem, device):
    pairs = problem.sets * problem.size**2 * problem.positives
    count = problem.size if pairs <= WHOLE_PAIRS else min(QUERIES, problem.size)
    return torch.arange(count, device=device) * (problem.size // count)


def check(problem, x, labels):
    """{"queries", "loss", "gradient", "limits", "good"}."""
    chosen = chosen_queries(problem, x.device)
    leaf = x.detach().clone().requires_grad_()
    loss = functional.drsl_loss(leaf, labels, reduction="none")
    weight = torch.zeros_like(loss)
    weight[..., chosen] = 1
    loss.backward(weight)

    # Queries one by one, so that what the reference holds at a time stays small.
    exact = x.detach().double().requires_grad_()
    wanted = []
    for part in chosen.split(max(1, 2**25 // (problem.size * max(1, problem.positives)))):
        value = reference.drsl_loss(
            exact[..., part, :], labels[part], exact, labels, self_index=part, reduction="none"
        )
        value.sum().backward()
        wanted.append(value.detach())
    far = {
        "loss": distance(loss.detach()[..., chosen], torch.cat(wanted, -1)),
        "gradient": distance(leaf.grad, exact.grad),
    }
    allowed = dict(zip(("loss", "gradient"), limits(problem), strict=True))
    good = all(far[key] <= allowed[key] for key in far)
    mean = mean_agrees(x, labels, loss.detach())
    return {"queries": len(chosen), **far, "limits": allowed, "mean": mean, "good": good and mean}


def mean_agrees(x, labels, each):
    """The mean, which is what is timed, against the mean of what was checked."""
    leaf = x.detach().clone().requires_grad_()
    loss = functional.drsl_loss(leaf, labels)
    loss.backward()
    positives = (labels.bincount()[labels] > 1).expand_as(each)
    wanted = each[positives].double().mean() if positives.any() else each.sum()
    return distance(loss.detach(), wanted) < 1e-5 and bool(leaf.grad.isfinite().all())
