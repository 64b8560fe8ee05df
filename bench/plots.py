"""The plots of a run, PNG and SVG: time against B, memory against B, ratios to the floor by case.

Colours are Okabe and Ito's, told apart by the colour-blind; markers and dashes say the same again.
"""

from bench import results
from bench.cases import BY_NAME
from bench.contenders import FLOOR, OURS, load
from bench.terminal import number

INK, FAINT = "#222222", "#bbbbbb"
STYLES = {  # colour, marker, dashes
    FLOOR: ("#777777", "", "--"),
    OURS: ("#0072B2", "o", "-"),
    "reference": ("#D55E00", "s", "-"),
    "compiled": ("#E69F00", "D", "-"),
    "pml-triplet": ("#009E73", "^", ":"),
    "pml-multi-similarity": ("#56B4E9", "v", ":"),
    "pml-contrastive": ("#CC79A7", "<", ":"),
    "pml-fastap": ("#000000", ">", ":"),
    "pml-pnp": ("#882255", "P", ":"),
    "keops": ("#999933", "X", "-."),
}
ANOTHER = ("#444444", "*", ":")
OF_EACH_LOSS = (OURS, "reference", "compiled")  # of which a plot shows DRSL
ALIKE = {"each": 4, "dim": 512, "sets": 1, "kind": "batch", "features": "random"}
# and B a power of two: 4000 would lie on 4096


def style(contender):
    return STYLES.get(contender, ANOTHER)


def title_of(contender):
    if contender == FLOOR:
        return "two bare products"
    name = load()[contender].title if contender in load() else contender
    return "ours (DRSL)" if contender == OURS else name


def growing(found):
    """Cases that differ in B alone, by B: those of the type that has most of them."""
    by_type = {}
    for name in dict.fromkeys(row["case"] for row in found["rows"]):
        case = BY_NAME.get(name)
        alike = case and all(getattr(case, key) == value for key, value in ALIKE.items())
        if alike and case.size & (case.size - 1) == 0:
            by_type.setdefault((case.dtype, case.precision), []).append(case)
    best = max(by_type.values(), key=len, default=[])
    return sorted(best, key=lambda case: case.size)


def series(found, cases, value):
    """{contender: [(B, value)]} and {contender: why it ends} over the cases."""
    points, ends = {}, {}
    for case in cases:
        for row in results.rows(found, case.name):
            if row["contender"] in OF_EACH_LOSS and row["loss"] != "drsl":
                continue
            if row["state"] == "measured" and value(row):
                points.setdefault(row["contender"], []).append((case.size, value(row)))
            elif row["state"] in ("out of memory", "timed out", "died", "failed"):
                ends.setdefault(row["contender"], row["state"])
    return points, ends


def _axes(plt, width=8.4, height=4.6):
    figure, axes = plt.subplots(figsize=(width, height), layout="constrained")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, which="major", color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    return figure, axes


def _lines(axes, points, ends, minimum=1):
    order = [name for name in STYLES if name in points]
    order += [name for name in points if name not in STYLES]
    for name in order:
        xy = sorted(points[name])
        if len(xy) < minimum:
            continue
        colour, marker, dashes = style(name)
        label = title_of(name) + (f", then {ends[name]}" if name in ends else "")
        axes.plot(
            *zip(*xy, strict=True), dashes, color=colour, marker=marker or None, markersize=5,
            linewidth=2.6 if name in (OURS, FLOOR) else 1.4, label=label,
            zorder=3 if name == OURS else 2,
        )  # fmt: skip


def _by_size(axes, cases, ticker):
    sizes = sorted({case.size for case in cases})
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.set_xlabel("B, samples in the batch (K = 4 of an identity, D = 512 numbers each)")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8.5)


def time_against_size(found, plt, ticker):
    cases = growing(found)
    points, ends = series(found, cases, lambda row: row["ms"]["both"]["median"])
    if len(points.get(OURS, [])) < 2:
        return None
    figure, axes = _axes(plt)
    _lines(axes, points, ends)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f"{v:,.6g}"))
    axes.set_ylabel("milliseconds, forward + backward (median)")
    axes.set_title(f"Time of a step's loss, {where(found)}", loc="left", fontsize=10.5)
    _by_size(axes, cases, ticker)
    return figure


def memory_against_size(found, plt, ticker):
    cases = growing(found)
    points, ends = series(found, cases, lambda row: row.get("bytes"))
    points.pop(FLOOR, None)
    points = {
        name: [(size, value / 2**20) for size, value in some if value >= 2**18]
        for name, some in points.items()
    }
    points = {name: some for name, some in points.items() if some}
    if len(points.get(OURS, [])) < 2:
        return None
    figure, axes = _axes(plt)
    _lines(axes, points, ends)
    sizes = sorted({size for some in points.values() for size, _ in some})
    axes.plot(
        sizes, [4 * size**2 / 2**20 for size in sizes], "--", color="#777777", linewidth=2.6,
        label="one B × B matrix of float32", zorder=1,
    )  # fmt: skip
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f"{v:,.6g}"))
    axes.set_ylabel("MiB, peak beside the inputs")
    axes.set_title(f"Memory of a step's loss, {where(found)}", loc="left", fontsize=10.5)
    _by_size(axes, cases, ticker)
    return figure


def ratios_by_case(found, plt, ticker):
    """A bar from the floor, at 1, to ours, a mark for every other."""
    cases = [
        BY_NAME[name]
        for name in dict.fromkeys(row["case"] for row in found["rows"])
        if name in BY_NAME
        and any(r["state"] == "measured" for r in results.rows(found, name, None, OURS))
    ]
    if not cases:
        return None
    cases = sorted(cases, key=lambda case: (case.kind, case.size, case.dim, case.each))
    figure, axes = _axes(plt, 8.4, 1.5 + 0.3 * len(cases))
    legend, least, ticks = {}, 0.8, []
    for place, case in enumerate(reversed(cases)):
        first = case.losses[0]
        for row in results.rows(found, case.name, state="measured"):
            name, ratio = row["contender"], row.get("of_floor", {}).get("median")
            if ratio is None or (row["loss"] != first and name in OF_EACH_LOSS):
                continue
            colour, marker, _ = style(name)
            least = min(least, 0.8 * ratio)
            if name == OURS:
                ticks.append(f"{label(case)}   {number(ratio)}")
                axes.barh(place, ratio - 1, left=1, color=colour, height=0.62, zorder=2)
                legend[name] = axes.patches[-1]
            else:
                if name.startswith("authors"):
                    name = "authors"
                    colour, marker = "#009E73", "h"
                legend[name] = axes.scatter(
                    ratio, place, color=colour, marker=marker, s=34, zorder=3,
                    edgecolors="white", linewidths=0.5,
                )  # fmt: skip
    axes.axvline(1, color="#777777", linestyle="--", linewidth=1.6, zorder=4)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1.0, 3.0)))
    axes.xaxis.set_minor_formatter(ticker.NullFormatter())
    axes.set_ylim(-0.7, len(cases) - 0.3)
    axes.set_xlim(left=least)
    axes.set_yticks(range(len(cases)), ticks, fontsize=8.5)
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f"{v:g}"))
    axes.grid(False, axis="y")
    axes.set_xlabel(
        "times the floor (dashed): bare products, or one sort of the scores; less is better"
    )
    axes.set_title(f"Forward + backward by case, {where(found)}", loc="left", fontsize=10.5)
    names = [name for name in (*STYLES, "authors") if name in legend]
    names += [name for name in legend if name not in names]
    titles = [
        "authors' code" if n == "authors" else "ours" if n == OURS else title_of(n) for n in names
    ]
    axes.legend(
        [legend[n] for n in names], titles, loc="center left", bbox_to_anchor=(1.0, 0.5),
        frameon=False, fontsize=8.5,
    )  # fmt: skip
    return figure


def label(case):
    what = {"rank_sort": "Rank & Sort", "evaluate": ""}.get(case.losses[0], "")
    return f"{case.full_title.replace(' float32 highest', '')} {what}".strip()


def where(found):
    machine = found["machine"]
    if machine["kind"] == "cuda":
        return machine["device"]
    threads = machine["threads"]
    return f"{machine['device']}, {threads} thread{'s' if threads > 1 else ''}"


PLOTS = {
    "time": time_against_size,
    "memory": memory_against_size,
    "ratios": ratios_by_case,
}


def draw(found, folder):
    """Names of the files that were drawn; a sentence where matplotlib is missing."""
    try:
        import matplotlib
    except ImportError:
        print("matplotlib is not installed: no plots (requirements/bench.txt)")
        return []
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib import ticker

    drawn = []
    settings = {"svg.hashsalt": "drsl", "font.size": 9.5, "text.color": INK,
                "axes.labelcolor": INK, "axes.edgecolor": FAINT}  # fmt: skip
    with matplotlib.rc_context(settings):
        for name, plot in PLOTS.items():
            figure = plot(found, plt, ticker)
            if figure is None:
                continue
            for kind, options in (("png", {"dpi": 150}), ("svg", {"metadata": {"Date": None}})):
                beside = folder / f".{name}.{kind}.part"
                figure.savefig(beside, format=kind, facecolor="white", **options)
                beside.replace(folder / f"{name}.{kind}")
            plt.close(figure)
            drawn.append(name)
    return drawn
