"""README's figures: written between two marks, from the committed results that the first mark names.

    <!-- bench: amd-epyc -->
    ...
    <!-- end of bench -->

`--check` says whether they are what the results give: nobody edits them by hand.
"""

import re
import sys
import textwrap
from pathlib import Path

from bench import plots, results, standing
from bench.cases import BY_NAME, FAMILY
from bench.contenders import FLOOR, OURS
from bench.terminal import name_of, number

ROOT = Path(__file__).resolve().parents[1]
MARKS = re.compile(r"(<!-- bench: (?P<device>[\w.-]+) -->\n).*?(<!-- end of bench -->)", re.S)
CASES = (
    "64x4x2048", "256x4x2048", "1024x4x512", "1024x16x512", "4096x16x512", "4096x2048x512",
    "16384x4x512", "65536x4x512", "64-of-55000",
)  # fmt: skip
OTHERWISE = ("scores-100000-2000", "scores-1000000-10000", "evaluate-market1501", "evaluate-msmt17")
WIDTH = 118
WORST = 5  # of the cases above their floor: so many are shown
BUSY = 1.0  # of the load average, beyond the run's own threads
HEAD = ("(B, K, D)", "two products", "DRSL", "FIDI", "Smooth-AP", "triplet", "reference",
        "compiled", "fastest peer")  # fmt: skip


def main(check=False, readme=ROOT / "README.md", folder=ROOT / "bench/results"):
    before = readme.read_text()
    if not MARKS.search(before):
        print(
            f"{readme} has no marks <!-- bench: DEVICE --> and <!-- end of bench -->",
            file=sys.stderr,
        )
        return 2
    try:
        after = MARKS.sub(lambda marks: between(marks, folder), before)
    except results.Unusable as error:
        print(f"python -m bench --readme: {error}", file=sys.stderr)
        return 2
    if check and after != before:
        print(
            f"{readme.name}: its figures are not those of bench/results: run python -m bench --readme"
        )
        return 1
    if not check:
        results.write(readme, after)
    return 0


def between(marks, folder):
    device = marks["device"]
    found = results.read(folder / device / results.NAME)
    picture = folder / device / "time.svg"
    return f"{marks[1]}{text(found, device, picture.exists())}\n{marks[3]}"


def ratio(found, case, loss, contender, digits=3):
    """A cell: the ratio, or what became of it."""
    rows = results.rows(found, case, loss, contender)
    if not rows:
        return ""
    row = rows[0]
    if row["state"] == "measured":
        return number(row["of_floor"]["median"], digits)
    return row["state"] if row["state"] in ("out of memory", "timed out", "died", "failed") else ""


def peer(found, case):
    """The fastest of other libraries, with its name."""
    known = (FLOOR, OURS, "reference", "compiled")
    rows = [r for r in results.rows(found, case, state="measured") if r["contender"] not in known]
    if not rows:
        return ""
    best = min(rows, key=lambda row: row["of_floor"]["median"])
    return f"{number(best['of_floor']['median'], 2)} ({name_of(best)})"


def table(found):
    """A row a case. What was not run is a dash; what was run in no case has no column."""
    rows = []
    for name in CASES:
        floor = results.one(found, name, "", FLOOR)
        if floor is None:
            continue
        cells = [BY_NAME[name].title, f"{number(floor['ms']['both']['median'])} ms"]
        cells += [ratio(found, name, loss, OURS) for loss in FAMILY]
        cells += [ratio(found, name, "drsl", other, 2) for other in ("reference", "compiled")]
        rows.append([*cells, peer(found, name)])
    kept = [at for at in range(len(HEAD)) if any(row[at] for row in rows)]
    head, *body = ([row[at] or "–" for at in kept] for row in (HEAD, *rows))
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(kept), *body)]


def otherwise(found):
    """Scores and evaluations: a sentence each."""
    for name in OTHERWISE:
        case = BY_NAME[name]
        row = results.one(found, name, case.losses[0], OURS)
        if row is None:
            continue
        times, ms = number(row["of_floor"]["median"]), number(row["ms"]["both"]["median"])
        if case.kind == "scores":
            yield (
                f"- Rank & Sort of {case.size:,} scores with {case.each:,} positives: {times} of one "
                f"`torch.sort` of them ({ms} ms)"
            )
        else:
            yield (
                f"- Evaluation, {case.size:,} queries × {case.gallery:,} × {case.dim}: {times} times "
                f"the bare product ({number(row['ms']['both']['median'] / 1e3)} s)"
            )


def lost(found, device):
    """The cases farthest above their floor, the worst first, with reasons; then peers that are ahead."""
    above = sorted(standing.above_floor(found), key=lambda of: -of[1]["of_floor"]["median"])
    lines = ["**Where we lose.** No case takes longer than its products."]
    if above:
        worst = "the" if len(above) <= WORST else f"the worst {WORST} of {len(above)}"
        lines = [f"**Where we lose**, {worst} cases that take longer than their products:", ""]
    for case, row in above[:WORST]:
        told = standing.why(case, FLOOR)
        ratio = number(row["of_floor"]["median"])
        lines.append(f"- {case.title}: {ratio}" + (f". {told}." if told else "."))
    ahead = [f"{name_of(row)} at {case.title}" for case, row in standing.ahead(found)]
    peers = f"Faster peers: {'; '.join(ahead)}." if ahead else (
        "No peer was faster in any measured case."
    )  # fmt: skip
    everything = f"[All of them, with reasons](bench/results/{device}/report.md#where-we-lose)."
    return [*lines, "", wrapped(f"{everything} {peers}")]


def provenance(found, device):
    machine = found["machine"]
    changes = " with changes" if machine["dirty"] else ""
    day = found["load"][0]["at"].partition(" ")[0] if found["load"] else "an unknown day"
    busiest = max((point["average"] for point in found["load"]), default=0)
    busy = ""
    if machine["kind"] == "cpu" and busiest > machine["threads"] + BUSY:
        busy = f", **while others computed there too** (load {busiest:.0f})"
    return (
        f"`python -m bench`, {plots.where(found)}{busy}, torch {machine['packages']['torch']}, {day}, commit "
        f"{(machine['commit'] or 'unknown')[:9]}{changes}; medians of ratios, each to products timed in "
        f"the same turns. [All rows, plots and aims](bench/results/{device}/report.md)."
    )


def text(found, device, picture):
    lines = [*table(found), ""]
    if picture:
        lines += [f"![Time against the number of samples](bench/results/{device}/time.svg)", ""]
    lines += [wrapped(provenance(found, device)), "", *otherwise(found), "", *lost(found, device)]
    return "\n".join(lines)


def wrapped(paragraph):
    return textwrap.fill(paragraph, WIDTH, break_long_words=False, break_on_hyphens=False)
