"""What was measured, as a table to read, and against what was aimed at."""


def errors(found):
    told = (
        f"loss {found['loss']:.1e}, gradient {found['gradient']:.1e} of {found['queries']} queries"
    )
    return told + ("" if found["mean"] else ", the mean is not that of the queries")


def median(case, name):
    taken = case.get("ms", {}).get(name)
    return taken and taken["median"]


def judge(cases):
    """Adds to each case what was aimed at: {"limits": {aim: {"limit", "is", "met"}}}."""
    for case in cases:
        aims = {}
        for aim, limit in (case["problem"]["limits"] or {}).items():
            value = achieved(aim, case, cases)
            if value is not None:
                aims[aim] = {"limit": limit, "is": value, "met": value <= limit}
        case["limits"] = aims


def achieved(aim, case, cases):
    """The number that an aim speaks of, or None if it is none of this case, or was not measured."""
    what, _, which = aim.partition(", ")
    if what == "of products":
        return case.get("of_products") if which == case["features"] else None
    if what == "ms":
        return median(case, "ours, eager" if which == "eager" else which)
    if what in ("of reference", "of compiled"):
        other = median(case, what.removeprefix("of ")) if which == case["features"] else None
        return other and median(case, "ours") / other
    if what == "bytes":
        return case.get("bytes")
    if what == "of one set":
        return of_one_set(case, cases)
    raise ValueError(f"there is no such aim: {aim}")


def of_one_set(case, cases):
    alike = ("size", "classes", "dim", "dtype", "precision")
    for other in cases:
        same = all(other["problem"][key] == case["problem"][key] for key in alike)
        if same and other["problem"]["sets"] == 1 and other["features"] == case["features"]:
            for name in ("graph", "ours"):
                if median(case, name) and median(other, name):
                    return median(case, name) / median(other, name)
    return None


def number(value, form="{:.3g}"):
    return "-" if value is None else form.format(value)


def line(case):
    """One case while it is measured."""
    head = f"{case['name']}, {case['features']}: {case['state']}"
    if case["state"] != "measured":
        return f"{head}: {case.get('told', '')}"
    return f"{head}: {number(median(case, 'ours'))} ms, {case['of_products']:.2f} of products"


COLUMNS = (
    "problem", "features", "path", "ours", "quartiles", "graph", "eager", "products", "ratio",
    "reference", "compiled", "floor", "GB/s", "TFLOP/s", "launches", "MiB", "aims",
)  # fmt: skip


def row(case):
    ours = case["ms"]["ours"]
    launches = case.get("launches")
    aims = [
        f"{aim} {got['is']:.3g} {'≤' if got['met'] else '> (missed)'} {got['limit']:.3g}"
        for aim, got in case["limits"].items()
    ]
    return [
        case["name"],
        case["features"],
        case["path"],
        number(ours["median"]),
        f"{ours['q1']:.3g}–{ours['q3']:.3g}",
        number(median(case, "graph")),
        number(median(case, "ours, eager")),
        number(median(case, "products")),
        f"{case['of_products']:.2f}",
        number(median(case, "reference")),
        number(median(case, "compiled")),
        number(case["floor_ms"]),
        number(case["bytes_per_second"] / 1e9, "{:.0f}"),
        number(case["flops"] / 1e12, "{:.1f}"),
        "-" if launches is None else f"{launches:.0f} ({case['ours_of_launches']:.0f} ours)",
        "-" if case.get("bytes") is None else f"{case['bytes'] / 2**20:.1f}",
        "; ".join(aims),
    ]


def table(results):
    """Markdown; times in milliseconds."""
    lines = [
        f"On {results['machine']['device']}, torch {results['machine']['torch']}. Times in ms."
    ]
    lines += ["", "| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
    measured = [case for case in results["cases"] if case["state"] == "measured"]
    lines += ["| " + " | ".join(row(case)) + " |" for case in measured]
    for case in filter(lambda case: case["problem"]["others"], measured):
        times = {name: median(case, name) for name in ("FIDI", "Smooth-AP", "triplet")}
        told = (
            f"{name} {ms:.3g} ms, {ms / median(case, 'products'):.2f} of products"
            for name, ms in times.items()
        )
        lines += ["", f"{case['name']}, {case['features']}: " + "; ".join(told)]
    others = [line(case) for case in results["cases"] if case["state"] != "measured"]
    lines += ["", *others] if others else []
    for case in measured:
        if case.get("kernels"):
            lines += ["", f"{case['name']}, {case['features']}: kernels of a step"]
            lines += [
                f"  {kernel['us']:10.1f} µs {kernel['launches']:5.1f} × {kernel['name']}"
                for kernel in case["kernels"][:12]
            ]
    if results["rates"]:
        lines += ["", *rates(results["rates"])]
    return "\n".join(lines)


def rates(found):
    yield f"copy {found['copy_bytes_per_second'] / 1e12:.2f} TB/s"
    for product in found["products"]:
        head = f"{product['product']}, {product['size']}, {product['type']}"
        yield f"{head}: {product['flops'] / 1e12:.1f} TFLOP/s"
    for count, ms in found["empty_graphs_ms"].items():
        yield f"graph of {count} empty kernels: {1e3 * ms:.1f} µs"
