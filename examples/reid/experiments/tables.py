"""The sweep's results as Markdown: mean ± spread, and how sure the difference from the defaults is."""

import json
from pathlib import Path

from report.results import write_whole
from report.spread import difference, mean, spread

BEGIN, END = "<!-- sweep: made by sweep.py --table -->", "<!-- sweep: end -->"
CALLED = {"drsl": "DRSL", "fidi": "FIDI", "smooth_ap": "Smooth-AP", "triplet": "batch-hard triplet"}
SIGNS = {
    "delta": "δ",
    "rank_weight": "rank weight",
    "sort_weight": "sort weight",
    "angle_weight": "angle weight",
    "normalize": "normalised",
}


def told(loss, options):
    """DRSL, δ = 0.1, normalised"""
    parts = [
        SIGNS[name] if value is True else f"{SIGNS[name]} = {value:g}"
        for name, value in sorted(
            json.loads(options).items(), key=lambda item: list(SIGNS).index(item[0])
        )
    ]
    return ", ".join([CALLED[loss], *parts])


def is_default(loss, options):
    return loss == "drsl" and json.loads(options) in ({}, {"delta": 0.5})


def tables(records):
    """Markdown of all data sets that the records are of."""
    by_data = {}
    for record in records:
        key = record["loss"], record["options"]
        by_data.setdefault(record["data"], {}).setdefault(key, {})[record["seed"]] = record
    return "\n\n".join(table(name, found) for name, found in by_data.items())


def table(name, found):
    one = next(iter(next(iter(found.values())).values()))
    before = mean(
        {r["seed"]: r["untrained_mAP"] for runs in found.values() for r in runs.values()}.values()
    )
    base = next((runs for key, runs in found.items() if is_default(*key)), {})
    lines = [
        f"**{name}**: {one['epochs']} epochs, batches of {one['per_batch']} × {one['per_identity']}; "
        f"untrained: {100 * before:.1f} % mAP.",
        "",
        "| loss | mAP % | Rank-1 % | runs | against DRSL's defaults |",
        "|---|---|---|---|---|",
    ]
    for key, runs in found.items():
        cells = [scored(runs, "mAP"), scored(runs, "rank1"), str(len(runs))]
        cells.append("" if is_default(*key) else against(runs, base))
        lines.append(f"| {told(*key)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def scored(runs, what):
    values = [100 * run[what] for run in runs.values()]
    return f"{mean(values):.1f}" + (f" ± {spread(values):.1f}" if len(values) > 1 else "")


def against(runs, base):
    """+1.2 (−0.3 … +2.7): within noise"""
    diff = difference(
        *({seed: 100 * r["mAP"] for seed, r in some.items()} for some in (runs, base))
    )
    if diff is None:
        return "–"
    if diff.seeds < 2:
        return f"{sign(diff.mean)}, one seed"
    sure = ("**better**" if diff.mean > 0 else "**worse**") if diff.clear else "within noise"
    return (
        f"{sign(diff.mean)} ({sign(diff.mean - diff.half)} … {sign(diff.mean + diff.half)}): {sure}"
    )


def sign(value):
    return f"{value:+.1f}".replace("-", "−")


def write_into(path, text):
    """Replaces what is between the two marks in a page."""
    page = Path(path).read_text(encoding="utf-8")
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise ValueError(f"{path} must hold {BEGIN!r} and then {END!r}, once each")
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    made = f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"
    write_whole(path, lambda file: file.write(made.encode()))
