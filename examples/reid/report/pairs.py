"""Distances of positives and negatives, and angle against distance of positives, before and after."""

import numpy as np

from report import retrieval
from report.markup import escape, figure, listing, number, paragraph, percent, section
from report.results import UNTRAINED
from report.svg import Chart

BINS = 40
DOTS = 500  # more would be a blot, and half the page


def shown(comparison):
    """[(name, what a reader calls it)]: the untrained model, then the losses that left features."""
    names = {UNTRAINED: "Untrained", **comparison.plan.losses}
    return [(name, told) for name, told in names.items() if name in comparison.features]


def small(title, chart, note):
    return f'<div class="small"><h3>{escape(title)}</h3>{chart}<p>{note}</p></div>'


def histogram_panel(comparison):
    title = "Positives and negatives, pulled apart"
    if comparison.pictures is None or not comparison.features:
        return section("distances", title, paragraph("No features have been saved yet."))
    split = {
        name: retrieval.split_distances(
            comparison.features[name], comparison.pictures, comparison.plan
        )
        for name, _ in shown(comparison)
    }
    high = max(float(np.quantile(np.concatenate(both), 0.999)) for both in split.values())
    edges = np.linspace(0, high, BINS + 1)
    counts = {  # densities, so that rare positives are seen beside many negatives
        name: [np.histogram(np.minimum(d, high), edges, density=True)[0] for d in both]
        for name, both in split.items()
    }
    top = 1.05 * max(float(c.max()) for both in counts.values() for c in both)
    charts, told = [], []
    for name, called in shown(comparison):
        chance = retrieval.closer(*split[name])
        chart = Chart(
            (0, high), (0, top), x_label="distance / mean distance", y_label="share of pairs", y_ticks=False,
            alt=f"{called}: distances of positives (mean {split[name][0].mean():.2f}) and negatives "
            f"(mean {split[name][1].mean():.2f}); a positive is closer in {100 * chance:.1f} % of cases",
        )  # fmt: skip
        chart.area("negatives", edges, counts[name][1])
        chart.area("positives", edges, counts[name][0])
        note = f"A positive is closer than a negative in {percent(chance)} of cases."
        charts.append(small(called, chart.svg(), note))
        told.append((called, chance))
    legend = (
        '<ul class="legend"><li><span class="swatch positives"></span>same person, another camera</li>'
        '<li><span class="swatch negatives"></span>different people</li></ul>'
    )
    seed = comparison.plan.seeds[0]
    caption = (
        f"Distances between query and gallery features, seed {seed}, each kind of pair with area 1. "
        "What the two hills share is where the model mistakes people."
    )
    body = legend + f'<div class="charts three">{"".join(charts)}</div>'
    return section("distances", title, figure(body, caption))


def scatter_panel(comparison):
    title = "Angle against distance: what DRSL’s sort term acts on"
    if comparison.pictures is None or not comparison.features:
        return section("angles", title, paragraph("No features have been saved yet."))
    found = {
        name: retrieval.positives(comparison.features[name], comparison.pictures, comparison.plan)
        for name, _ in shown(comparison)
    }
    found = {name: pairs for name, pairs in found.items() if pairs is not None}
    if not found:
        return section("angles", title, paragraph("No identity has two pictures in the gallery."))
    far = max(float(np.quantile(p.distance, 0.995)) for p in found.values())
    charts = []
    for name, called in shown(comparison):
        if name not in found:
            continue
        pairs = found[name]
        wide = float(np.quantile(pairs.angle, 0.995))
        some = np.random.default_rng(0).permutation(len(pairs.angle))[:DOTS]
        chart = Chart(
            (0, far), (0, wide), x_label="distance / mean distance", y_label="angle, degrees",
            alt=f"{called}: angle against distance of pairs of one person; mean angle "
            f"{pairs.angle.mean():.0f} degrees, the two orders disagree in {100 * pairs.misplaced:.1f} %",
        )  # fmt: skip
        chart.dots(
            "dots", np.minimum(pairs.distance[some], far), np.minimum(pairs.angle[some], wide)
        )
        note = f"Orders disagree in {percent(pairs.misplaced)}; mean angle {number(pairs.angle.mean(), 0)}°."
        charts.append(small(called, chart.svg(), note))
    why = paragraph(
        "DRSL ranks by distance, and among pictures of one person it wants the closer to be those at the "
        "smaller angle too. If both orders agree, the dots lie on a rising line. “Disagree” counts, for each "
        "picture and two others of the same person, how often the closer is the one at the wider angle."
    )
    caption = (
        "Pairs of gallery pictures of one person, before the neck, where the ranking losses work; "
        f"seed {comparison.plan.seeds[0]}, {DOTS} pairs drawn at random at most; each model with its own "
        "scale of angles."
    )
    told = paragraph(misplaced_told(comparison, found))
    body = f'<div class="charts three">{"".join(charts)}</div>'
    return section("angles", title, why, figure(body, caption), told)


def misplaced_told(comparison, found):
    """The order of the shares, in a sentence."""
    trained = sorted((p.misplaced, name) for name, p in found.items() if name != UNTRAINED)
    if not trained:
        return "No trained model has left its features yet."
    names = comparison.plan.losses
    told = listing(f"{percent(share)} with {escape(names[name])}" for share, name in trained)
    before = (
        f" It was {percent(found[UNTRAINED].misplaced)} before training."
        if UNTRAINED in found
        else ""
    )
    if trained[0][1] == "drsl" and len(trained) > 1:
        end = " DRSL’s two orders disagree least, as its sort term asks (one seed)."
    elif "drsl" in found and len(trained) > 1:
        least = escape(names[trained[0][1]])
        end = f" Here {least}, not DRSL, has the orders that disagree least (one seed)."
    else:
        end = ""
    return f"Distance and angle disagree in {told}.{before}{end}"
