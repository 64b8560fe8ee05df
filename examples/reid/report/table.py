"""The table: each loss's scores over the seeds, what a step costs, the untrained model first."""

from report import findings
from report.markup import escape, figure, number, paragraph, section, with_spread
from report.spread import mean
from report.svg import legend_mark

SCORES = (("mAP", "mAP"), ("rank1", "Rank-1"), ("mINP", "mINP"))


def panel(comparison):
    rows = [row("untrained", "", [findings.untrained(comparison, what) for what, _ in SCORES], [])]
    found = findings.finished(comparison)
    best = {what: findings.ranked(comparison, what)[0][1] for what, _ in SCORES}
    for loss, name in found.items():
        values = [findings.scores(comparison, loss, what) for what, _ in SCORES]
        bold = [best[what] == loss for what, _ in SCORES]
        runs = comparison.of(loss).values()
        times = [mean(run.step_ms for run in runs)]
        if all(run.loss_ms is not None for run in runs):
            times.append(mean(run.loss_ms for run in runs))
        series = list(comparison.plan.losses).index(loss)
        rows.append(row(name, legend_mark(series), values, times, bold))
    head = "".join(f'<th scope="col">{title} %</th>' for _, title in SCORES)
    body = (
        f'<div class="scroll"><table><thead><tr><th scope="col">trained with</th>{head}'
        '<th scope="col">step ms</th><th scope="col">of it loss ms</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )
    counts = sorted(len(comparison.of(loss)) for loss in found)
    seeds = f"{counts[0]} to {counts[-1]}" if counts[0] < counts[-1] else str(counts[0])
    seeds += " seed" if counts[-1] == 1 else " seeds"
    caption = (
        f"Mean ± standard deviation over {seeds}; bold is the highest mean, clear or not. mAP: how "
        "early all pictures of a person come in the list; Rank-1: how often the first one is right; mINP: "
        "how early the hardest one comes. Step: time of one training step on this machine (mean of an "
        "epoch, median over epochs, mean over seeds)."
    )
    told = "".join(f"<li>{line}</li>" for line in findings.against(comparison, next(iter(found))))
    parts = [figure(body, caption, "table"), f"<ul>{told}</ul>" if told else ""]
    cost = findings.time_cost(comparison)
    parts += [paragraph(cost) if cost else "", paragraph(findings.RULE, "note")]
    return section("scores", "The scores", *parts)


def row(name, key, values, times, bold=(False, False, False)):
    cells = []
    for value, strong in zip(values, bold, strict=True):
        text = with_spread(value.values(), gap=" ")
        cells.append(f"<td>{f'<strong>{text}</strong>' if strong else text}</td>")
    cells += [
        f"<td>{number(time, digits)}</td>" for time, digits in zip(times, (1, 2), strict=False)
    ]
    cells += ["<td>–</td>"] * (2 - len(times))
    return f'<tr><th scope="row">{key}{escape(name)}</th>{"".join(cells)}</tr>'
