"""The page: all panels in one file, with nothing to fetch."""

from pathlib import Path

from report import curves, findings, pairs, strips, table
from report.markup import escape, listing, paragraph, section
from report.results import write_whole

STYLE = Path(__file__).with_name("style.css")
TITLE = "Training to find the same person again"
CONTENTS = (
    ("scores", "Scores"), ("curves", "Curves"), ("lists", "Pictures"), ("distances", "Distances"),
    ("angles", "Angles"), ("imbalance", "Imbalance"), ("how", "How it was done"),
)  # fmt: skip


def introduction(comparison):
    plan = comparison.plan
    names = listing(escape(name) for name in plan.losses.values())
    return paragraph(
        "Person re-identification: given a picture of somebody, find the same person among pictures from "
        f"other cameras. Here a small network learns it from scratch on {escape(plan.data)}. It does so once "
        f"with each of {names}, from {len(plan.seeds)} seeds, and is then asked about people whom it has "
        "never seen.",
        "lead",
    )


def how(comparison):
    plan = comparison.plan
    told = {
        "data": plan.data,
        "training": f"{plan.epochs} epochs of {plan.steps} steps, batches of {plan.batch[0]} identities × "
        f"{plan.batch[1]} pictures",
        "seeds": ", ".join(map(str, plan.seeds)),
        **plan.settings,
        **{
            plan.losses[loss]: ", ".join(f"{k} = {v}" for k, v in options.items()) or "no options"
            for loss, options in plan.options.items()
        },
        **plan.machine,
    }
    rows = "".join(
        f"<div><dt>{escape(key)}</dt><dd>{escape(value)}</dd></div>" for key, value in told.items()
    )
    fewer = ""
    if plan.epochs < plan.epochs_wanted:
        fewer = paragraph(
            f"This machine is too slow for the usual {plan.epochs_wanted} epochs in the time that it was "
            f"given, so there were {plan.epochs}: scores are lower than they could be, and not those of "
            "another machine.",
            "note",
        )
    limits = paragraph(
        "What this does not show: how the losses compare on real photographs, on large networks, or after "
        "long training. The people are drawn by a program, the network is tiny, and training ends early. It "
        "shows that training works, what the losses do to the features, and how to measure a difference."
    )
    again = paragraph(
        "The whole page is made from the files beside it: "
        "<code>python examples/reid/demo.py --page-only</code> makes it again."
    )
    return section("how", "How it was done", f"<dl>{rows}</dl>", fewer, limits, again)


def build(comparison):
    """The HTML of the whole page."""
    answer = "".join(f"<li>{line}</li>" for line in findings.headline(comparison))
    note = findings.missing(comparison)
    links = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title in CONTENTS)
    parts = [
        f"<h1>{TITLE}</h1>",
        introduction(comparison),
        f'<p class="missing" role="note">{note}</p>' if note else "",
        f'<ul class="answer">{answer}</ul>',
        f'<nav aria-label="contents"><ul>{links}</ul></nav>',
    ]
    if findings.finished(comparison):
        parts += [table.panel(comparison), curves.panel(comparison)]
    parts += [
        strips.panel(comparison),
        pairs.histogram_panel(comparison),
        pairs.scatter_panel(comparison),
    ]
    parts += [curves.imbalance_panel(comparison), how(comparison)]
    body = "\n".join(part for part in parts if part)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{TITLE}</title>\n<style>\n{STYLE.read_text(encoding='utf-8')}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def write(comparison, path):
    page = build(comparison)
    write_whole(path, lambda file: file.write(page.encode()))
