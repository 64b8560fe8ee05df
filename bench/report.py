"""report.md and the plots of a run: everything that was measured, the aims, and where we lose."""

from bench import aims, plots, results, standing
from bench.cases import BY_NAME
from bench.contenders import FLOOR
from bench.terminal import cells, in_order, name_of, number

PICTURES = {
    "time": "Time against the number of samples, the floor dashed",
    "memory": "Memory against the number of samples",
    "ratios": "Times the floor, by case",
}


def write_all(folder):
    """report.md, PNG and SVG in a folder that has results."""
    found = results.read(folder / results.NAME)
    drawn = plots.draw(found, folder)
    results.write(folder / "report.md", text(found, drawn) + "\n")
    print(f"\n{folder}: {results.NAME}, report.md" + "".join(f", {d}.png, {d}.svg" for d in drawn))
    return 0


def text(found, drawn=()):
    lines = [f"# {plots.where(found)}", "", *about(found), ""]
    lines += [f"![{PICTURES[name]}]({name}.svg)\n" for name in drawn]
    lines += ["## What was aimed at", "", *aims_table(found), ""]
    lines += ["## Where we lose", "", *losing(found), "", "## Everything", ""]
    lines += [
        "Milliseconds, medians; ×: of the floor of the same turns, its quartiles in brackets; cold: the",
        "last-level cache overwritten before each call; of ours: of DRSL, or of our loss on scores, in the",
        "same turns; memory beside the inputs; of bound: the time that this machine's rates allow by the",
        "time taken (bench/floors.py). Ours and the reference do much of the gradient's work in forward.",
    ]
    for name in dict.fromkeys(row["case"] for row in found["rows"]):
        lines += ["", *case_table(found, name)]
    lines += ["", *rates(found)]
    lines += [f"- {name}: not there: {why}" for name, why in found["absent"].items()]
    return "\n".join(lines)


def about(found):
    machine, settings = found["machine"], found["settings"]
    packages = ", ".join(f"{name} {v}" for name, v in machine["packages"].items() if v)
    load = ", ".join(f"{point['average']} at {point['at']}" for point in found["load"])
    changes = " with changes" if machine["dirty"] else ""
    return [
        f"`python -m bench {settings['command']}`".replace(" `", "`"),
        "",
        f"- {machine['cpu']}, {machine['cores']} cores, {machine['memory_bytes'] / 2**30:.0f} GiB; "
        f"{machine['threads']} threads; Python {machine['python']}; {packages}",
        f"- commit {machine['commit']}{changes}; seed of the inputs {settings['seed']}",
        f"- load average: {load} (above 1 for the threads of the run alone means that others computed too)",
        f"- a job had {number(settings['memory'])} GiB and about {settings['patience']:.0f} s",
    ]


def aims_table(found):
    rows = [aims.told(*judged) for judged in aims.judged(found)]
    if not rows:
        return ["No case of this run has one."]
    return markdown(["case", "loss", "what", "aim", "is", ""], rows)


def losing(found):
    lines = []
    for case, row in standing.above_floor(found):
        told = standing.why(case, FLOOR)
        lines.append(
            f"- {case.full_title}, {row['loss']}: {number(row['of_floor']['median'])} of the floor"
            + (f". {told}." if told else ".")
        )
    for case, row in standing.ahead(found):
        told = standing.why(case, row["contender"])
        lines.append(
            f"- {case.full_title}: {name_of(row)} takes {number(row['of_ours']['median'])} of ours"
            + (f". {told}." if told else ".")
        )
    return lines or ["Nowhere in this run."]


def case_table(found, name):
    title = BY_NAME[name].full_title if name in BY_NAME else name
    head = [
        title,
        "forward",
        "backward",
        "both",
        "×",
        "cold ×",
        "of ours",
        "memory",
        "GB/s",
        "GFLOP/s",
        "of bound",
    ]
    on_gpu = found["machine"]["kind"] == "cuda"
    head += ["graph", "eager", "launches"] if on_gpu else []
    rows = []
    for row in in_order(found, name):
        short = cells(row)
        if row["state"] != "measured":
            rows.append([short[0], f"{short[1]}"] + [""] * (len(head) - 2))
            continue
        ratio = row.get("of_floor")
        told = "1"
        if ratio:
            told = f"{number(ratio['median'])} [{number(ratio['q1'])}–{number(ratio['q3'])}]"
        cold = row.get("cold")
        line = [
            short[0], short[1], short[2], short[3], told,
            number(cold["of_floor"]["median"]) if cold else "",
            number(row["of_ours"]["median"]) if "of_ours" in row else "", short[6],
            number(row["bytes_per_second"] / 1e9) if "bytes_per_second" in row else "",
            short[7], short[8],
        ]  # fmt: skip
        if on_gpu:
            launches = row.get("launches")
            line += [
                number(row.get("graph_ms")), number(row.get("eager_ms")),
                "–" if launches is None else f"{launches:.0f} ({row['ours_of_launches']:.0f} ours)",
            ]  # fmt: skip
        rows.append(line)
    lines = markdown(head, rows)
    for row in results.rows(found, name, state="measured"):
        for kernel in row.get("kernels", [])[:12]:
            lines.append(
                f"    {kernel['us']:10.1f} µs {kernel['launches']:5.1f} × {kernel['name']}"
            )
    return lines


def markdown(head, rows):
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return lines + [
        f"| {' | '.join(str(cell).replace('|', '/') for cell in row)} |" for row in rows
    ]


def rates(found):
    if not found["rates"]:
        return []
    lines = [f"- copy: {found['rates']['copy'] / 1e9:,.1f} GB/s read and written"]
    for product in found["rates"]["measured"]:
        head = f"- {product['product']}, {product['size']}, {product['kind']}"
        lines.append(f"{head}: {product['flops'] / 1e9:,.0f} GFLOP/s")
    for count, ms in found["rates"].get("empty_graphs_ms", {}).items():
        lines.append(f"- graph of {count} empty kernels: {1e3 * ms:.1f} µs")
    return lines
