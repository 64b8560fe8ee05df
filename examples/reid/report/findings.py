"""Sentences made from the numbers. Nothing here knows which loss should win."""

from report.markup import THIN, escape, listing, number, percent, signed, with_spread
from report.spread import difference, mean

RULE = (
    "“Clear” means: the 95 % interval of the difference, taken seed by seed, leaves out 0 "
    "(Student’s t). Anything else is called within noise, whatever its sign."
)


def scores(comparison, loss, what="mAP", ratio=()):
    """{seed: final score}"""
    return {seed: run.final[what] for seed, run in comparison.of(loss, *ratio).items()}


def untrained(comparison, what="mAP"):
    """{seed: score before the first step}; losses of one seed start from the same weights."""
    found = {}
    for key, run in comparison.runs.items():
        found.setdefault(key.seed, run.untrained[what])
    return {seed: found[seed] for seed in comparison.plan.seeds if seed in found}


def finished(comparison):
    """Losses with at least one run, as {name: what a reader calls it}."""
    return {loss: told for loss, told in comparison.plan.losses.items() if comparison.of(loss)}


def ranked(comparison, what="mAP"):
    """[(mean, loss)], best first."""
    found = [(mean(scores(comparison, loss, what).values()), loss) for loss in finished(comparison)]
    return sorted(found, reverse=True)


def points(value):
    """A difference of shares as percentage points."""
    return signed(100 * value)


def verdict(diff):
    """How sure a difference is, in words."""
    if diff.seeds < 2:
        return "one seed only, so it may be chance"
    low, high = diff.mean - diff.half, diff.mean + diff.half
    sure = "a clear difference" if diff.clear else "within noise"
    return f"{sure} (95{THIN}% interval {points(low)} to {points(high)}, {diff.seeds} seeds)"


def training_helps(comparison):
    """Trained against untrained."""
    order = ranked(comparison)
    before = untrained(comparison)
    better, not_better = [], []
    for _, loss in order:
        diff = difference(scores(comparison, loss), before)
        (better if diff.mean > 0 and diff.wins == diff.seeds else not_better).append(loss)
    names = comparison.plan.losses
    scored = with_spread(before.values())
    text = f"Before training the model finds the right person with an mAP of {scored}{THIN}%. "
    high, low = order[0][0], order[-1][0]
    reach = percent(low) if low == high else f"{percent(low)} to {percent(high)}"
    text += f"After {comparison.plan.epochs} epochs it is {reach}. "
    if not_better:
        bad = listing(escape(names[loss]) for loss in not_better)
        text += f"{bad} did not beat the untrained model in every seed."
    else:
        text += "Training beat the untrained model in every seed, whatever the loss."
    return text


def best(comparison):
    """Who is first, and whether that is more than luck."""
    order = ranked(comparison)
    names = comparison.plan.losses
    top, first = order[0]
    if len(order) == 1:
        return f"Only {escape(names[first])} has been trained so far: {percent(top)} mAP."
    _, second = order[1]
    diff = difference(scores(comparison, first), scores(comparison, second))
    text = (
        f"Highest mean mAP: <strong>{escape(names[first])}</strong>, "
        f"{with_spread(scores(comparison, first).values())}{THIN}%"
    )
    if diff is None:
        return text + f". {escape(names[second])}, next, was trained with other seeds."
    return text + f"; {points(diff.mean)} over {escape(names[second])}, the next: {verdict(diff)}."


def against(comparison, one):
    """`one` compared with every other loss: a list of sentences."""
    names, found = comparison.plan.losses, []
    for other in finished(comparison):
        diff = difference(scores(comparison, one), scores(comparison, other))
        if other == one or diff is None:
            continue
        if diff.mean > 0:
            what = "ahead of"
        else:
            what = "behind" if diff.mean < 0 else "level with"
        found.append(
            f"{escape(names[one])} is {number(abs(100 * diff.mean))} points {what} "
            f"{escape(names[other])}: {verdict(diff)}, ahead in {diff.wins} of {diff.seeds}."
        )
    return found


def headline(comparison):
    """The page's first answer, in words."""
    if not finished(comparison):
        return ["No run has finished yet, so there is nothing to tell."]
    return [training_helps(comparison), best(comparison)]


def time_cost(comparison):
    """What a step costs, and how much of it is the loss; None where no loss was timed."""
    found = {}
    for loss in finished(comparison):
        runs = [run for run in comparison.of(loss).values() if run.loss_ms is not None]
        if runs:
            found[loss] = mean(run.step_ms for run in runs), mean(run.loss_ms for run in runs)
    if not found:
        return None
    steps = [step for step, _ in found.values()]
    parts = [part / step for step, part in found.values()]
    most = max(found, key=lambda name: found[name][1])
    return (
        f"A training step takes {number(min(steps), 0)} to {number(max(steps), 0)}{THIN}ms, of which the "
        f"losses are {percent(min(parts))} to {percent(max(parts))}; the dearest is "
        f"{escape(comparison.plan.losses[most])} with {number(found[most][1], 2)}{THIN}ms."
    )


def ratio_effect(comparison, loss, few, many):
    """How a loss fares from the ratio `few` (P, K) to `many`: {seed: change}."""
    a, b = scores(comparison, loss, ratio=few), scores(comparison, loss, ratio=many)
    return {seed: b[seed] - a[seed] for seed in a if seed in b}


def imbalance(comparison):
    """What more negatives a positive do to each loss, and whether the losses differ in that."""
    plan = comparison.plan
    order = sorted((tuple(ratio) for ratio in plan.ratios), key=negatives_a_positive)
    few, many = order[0], order[-1]
    changes = {loss: ratio_effect(comparison, loss, few, many) for loss in plan.ratio_losses}
    changes = {loss: change for loss, change in changes.items() if change}
    if not changes:
        return ["The runs at the two ends of this panel are not finished, so it says nothing yet."]
    zero = dict.fromkeys(plan.ratio_seeds, 0.0)
    found = []
    for loss, change in changes.items():
        diff = difference(change, zero)
        found.append(
            f"From {told_ratio(few)} to {told_ratio(many)} the mAP of {escape(plan.losses[loss])} changes by "
            f"{points(diff.mean)} points: {verdict(diff)}."
        )
    if len(changes) > 1:
        loses_least = max(changes, key=lambda loss: mean(changes[loss].values()))
        loses_most = min(changes, key=lambda loss: mean(changes[loss].values()))
        diff = difference(changes[loses_least], changes[loses_most])
        if loses_least != loses_most and diff is not None:
            found.append(
                f"{escape(plan.losses[loses_least])} bears it better than "
                f"{escape(plan.losses[loses_most])} by {number(100 * diff.mean)} points: {verdict(diff)}."
            )
    return found


def negatives_a_positive(ratio):
    per_batch, per_identity = ratio
    return per_identity * (per_batch - 1) / (per_identity - 1)


def told_ratio(ratio):
    return f"{ratio[0]} × {ratio[1]}"


def missing(comparison):
    """A note for a page that was made before all runs were done; None if none is missing."""
    left = comparison.missing()
    if not left:
        return None
    total = len(comparison.plan.keys())
    names = listing(
        f"{escape(comparison.plan.losses[k.loss])} {told_ratio(k[2:])} seed {k.seed}"
        for k in left[:6]
    )
    more = f" and {len(left) - 6} more" if len(left) > 6 else ""
    return (
        f"Not finished: {len(left)} of {total} runs are missing ({names}{more}). What is below is made from "
        "the rest; run the demonstration again and it goes on where it stopped."
    )
