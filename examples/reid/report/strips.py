"""Queries and the first ten of their lists, before and after training, right and wrong framed."""

import numpy as np

from report import retrieval
from report.markup import data_uri, escape, number, paragraph, percent, section
from report.results import UNTRAINED

FIRST = 10
AT = (0.05, 0.25, 0.5, 0.75, 0.95)  # of the queries, ordered by AP after training


def choose(rankings):
    """Queries at fixed places of the order by AP: nobody picked them. Worst first."""
    ap = np.array([ranking.ap for ranking in rankings])
    valid = np.flatnonzero(~np.isnan(ap))
    order = valid[np.argsort(ap[valid], kind="stable")]
    if not len(order):
        return []
    places = dict.fromkeys(round(at * (len(order) - 1)) for at in AT)
    return [int(order[place]) for place in places]


def hit(pictures, entry, place, right):
    word, sign = ("right", "✓") if right else ("wrong", "✗")
    camera = int(pictures.gallery_cams[entry])
    return (
        f'<li class="hit {word}"><img src="{data_uri(pictures.gallery[entry])}" '
        f'alt="place {place}: {word}, camera {camera}"><span>{sign} {place}</span></li>'
    )


def strip(called, ranking, pictures):
    hits = zip(ranking.order[:FIRST], ranking.right[:FIRST], strict=True)
    items = "".join(hit(pictures, e, place, r) for place, (e, r) in enumerate(hits, 1))
    right = int(ranking.right[:FIRST].sum())
    possible = min(int(ranking.right.sum()), FIRST)
    head = (
        f"<h4>{escape(called)} <small>AP {percent(ranking.ap, 0)}, {right} of {possible} possible "
        f"in the first {FIRST}</small></h4>"
    )
    return f'{head}<ol class="strip">{items}</ol>'


def block(comparison, query, found, main):
    """One query: before, after with `main`, and the other losses folded away."""
    pictures, names = comparison.pictures, {UNTRAINED: "Untrained", **comparison.plan.losses}
    strips = {name: strip(names[name], ranks[query], pictures) for name, ranks in found.items()}
    others = [text for name, text in strips.items() if name not in (UNTRAINED, main)]
    before = strips.get(UNTRAINED, "")
    after = strips[main] if main != UNTRAINED else ""
    folded = (
        f"<details><summary>the same query with the other losses</summary>{''.join(others)}</details>"
        if others
        else ""
    )
    person, camera = int(pictures.query_ids[query]), int(pictures.query_cams[query])
    return (
        f'<article class="query"><div class="asked"><img src="{data_uri(pictures.query[query])}" '
        f'alt="query: person {person}, camera {camera}"><p>person {person}<br>camera {camera}</p></div>'
        f'<div class="lists">{before}{after}{folded}</div></article>'
    )


def panel(comparison):
    title = "The lists, in pictures"
    if comparison.pictures is None or not comparison.features:
        return section("lists", title, paragraph("No features have been saved yet."))
    names = comparison.plan.losses
    found = {
        name: retrieval.rankings(comparison.features[name], comparison.pictures, comparison.plan)
        for name in [UNTRAINED, *names]
        if name in comparison.features
    }
    main = next((name for name in names if name in found), UNTRAINED)
    called = {UNTRAINED: "untrained", **names}[main]
    aps = [ranking.ap for ranking in found[main] if not np.isnan(ranking.ap)]
    rule = ", ".join(number(100 * at, 0) for at in AT)
    why = paragraph(
        "A query, and who the model thinks it is: nearest first. ✓ and a solid frame: the same person, seen "
        "by another camera; ✗ and a dashed frame: somebody else. Pictures of the query’s person by the "
        "query’s own camera are left out, as the protocol wants it. Nobody picked these queries: of "
        f"{len(aps)}, ordered by how well {escape(called)} does on them, they are those at {rule} % of the "
        f"order, worst first. Seed {comparison.plan.seeds[0]}."
    )
    blocks = "".join(block(comparison, q, found, main) for q in choose(found[main]))
    return section("lists", title, why, blocks)
