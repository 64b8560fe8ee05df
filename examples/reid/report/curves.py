"""Lines with a band: mAP as training goes on, and mAP against the imbalance of a batch."""

from report import findings
from report.markup import escape, figure, listing, number, paragraph, section
from report.spread import mean, spread
from report.svg import Chart, legend_mark, padded


def legend(comparison, losses):
    names = list(comparison.plan.losses)
    items = "".join(
        f"<li>{legend_mark(names.index(loss))}{escape(comparison.plan.losses[loss])}</li>"
        for loss in losses
    )
    return f'<ul class="legend">{items}</ul>'


def middle_and_band(columns):
    """[[values of the seeds], ...] → means, lower and upper edges (mean ± spread), in percent."""
    means = [100 * mean(values) for values in columns]
    half = [100 * spread(values) if len(values) > 1 else 0.0 for values in columns]
    low = [m - h for m, h in zip(means, half, strict=True)]
    return means, low, [m + h for m, h in zip(means, half, strict=True)]


def curve_chart(comparison, x_of, x_label, told):
    """mAP against `x_of(point of a curve)`, means over the seeds."""
    lines = []
    for loss in findings.finished(comparison):
        points = list(zip(*(run.curve for run in comparison.of(loss).values()), strict=False))
        xs = [mean(x_of(point) for point in column) for column in points]
        lines.append((loss, xs, *middle_and_band([[p["mAP"] for p in c] for c in points])))
    edges = [y for _, _, _, low, high in lines for y in (*low, *high)]
    most = max(x for _, xs, *_ in lines for x in xs)
    ends = listing(
        f"{comparison.plan.losses[loss]} from {number(middle[0])} to {number(middle[-1])}"
        for loss, _, middle, _, _ in lines
    )
    chart = Chart(
        (0, most),
        padded(edges),
        x_label=x_label,
        y_label="mAP %",
        alt=f"mAP against {told}: {ends}",
    )
    names = list(comparison.plan.losses)
    for loss, xs, _, low, high in lines:
        chart.band(names.index(loss), xs, low, high)
    for loss, xs, middle, _, _ in lines:
        chart.line(names.index(loss), xs, middle)
    return chart.svg()


def panel(comparison):
    by_epoch = curve_chart(comparison, lambda p: p["epoch"], "epoch", "epochs")
    by_time = curve_chart(comparison, lambda p: p["seconds"], "seconds of training", "seconds")
    body = (
        legend(comparison, findings.finished(comparison))
        + f'<div class="charts">{by_epoch}{by_time}</div>'
    )
    caption = (
        "mAP on people never seen in training, after each epoch: mean over the seeds, the band one standard "
        "deviation to each side. First against epochs, then against seconds spent in training steps. All "
        "losses start from the same weights and see the same batches."
    )
    return section("curves", "How it learned", figure(body, caption))


def told_tick(ratio):
    """16 × 4 (1:20)"""
    return f"{findings.told_ratio(ratio)} (1:{number(findings.negatives_a_positive(ratio), 0)})"


def imbalance_panel(comparison):
    plan = comparison.plan
    if len(plan.ratios) < 2:
        return ""
    ratios = sorted((tuple(ratio) for ratio in plan.ratios), key=findings.negatives_a_positive)
    names, lines = list(plan.losses), []
    for loss in plan.ratio_losses:
        found = [
            (k, [*findings.scores(comparison, loss, ratio=r).values()])
            for k, r in enumerate(ratios)
        ]
        found = [(k, values) for k, values in found if values]
        if found:
            lines.append((loss, [k for k, _ in found], middle_and_band([v for _, v in found])))
    title = "When negatives outnumber positives"
    if not lines:
        return section("imbalance", title, paragraph("None of these runs is finished."))
    told = [
        f"{plan.losses[loss]} "
        + ", ".join(
            f"{number(m)} at {findings.told_ratio(ratios[k])}"
            for k, m in zip(at, band[0], strict=True)
        )
        for loss, at, band in lines
    ]
    chart = Chart(
        (-0.4, len(ratios) - 0.6),
        padded([y for _, _, (_, low, high) in lines for y in (*low, *high)], 0.1),
        x_label="identities × pictures (positives : negatives)",
        y_label="mAP %",
        alt="mAP against the imbalance of a batch: " + "; ".join(told),
        x_ticks=[(k, told_tick(ratio)) for k, ratio in enumerate(ratios)],
    )
    for place, (loss, at, (middle, low, high)) in enumerate(lines):
        series, shift = names.index(loss), 0.05 * (place - (len(lines) - 1) / 2)
        xs = [k + shift for k in at]
        chart.line(series, xs, middle)
        for x, lower, upper in zip(xs, low, high, strict=True):
            chart.error(series, x, lower, upper)
    size = ratios[0][0] * ratios[0][1]
    why = paragraph(
        f"A batch of {size} pictures can hold few people with many pictures each, or many people with few. "
        "The fewer pictures a person has, the more a positive pair is outnumbered, which is what DRSL’s "
        "authors set out from. The size of the batch stays the same, and so does the number of steps, to "
        "half an epoch."
    )
    caption = "mAP after training, mean and standard deviation over seeds."
    body = (
        legend(comparison, [loss for loss, *_ in lines])
        + f'<div class="charts">{chart.svg()}</div>'
    )
    said = "".join(f"<li>{line}</li>" for line in findings.imbalance(comparison))
    return section("imbalance", title, why, figure(body, caption), f"<ul>{said}</ul>")
