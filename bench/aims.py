"""What was aimed at, case by case, beside what it is. A missed aim is shown and fails nothing.

of floor      times the yardstick of the case
of X          times another row of the same case: reference, compiled
of case X     times the same loss at another case
ms, graph ms, eager ms, bytes
"""

from typing import NamedTuple

from bench import results
from bench.cases import BY_NAME
from bench.contenders import OURS

MIB, GIB = 2**20, 2**30


class Aim(NamedTuple):
    kind: str  # of device
    case: str
    loss: str
    what: str
    limit: float


AIMS = (
    Aim("cpu", "8x4x64", "drsl", "ms", 0.080),
    Aim("cpu", "256x4x2048", "drsl", "of floor", 1.0),
    Aim("cpu", "1024x4x512", "drsl", "of floor", 1.0),
    Aim("cpu", "1024x16x512", "drsl", "of floor", 1.0),
    Aim("cpu", "4096x16x512", "drsl", "of floor", 1.0),
    Aim("cpu", "4096x2048x512", "drsl", "of case 4096x4x512", 4.0),
    Aim("cpu", "16384x4x128", "drsl", "bytes", 200 * MIB),
    Aim("cpu", "1024x4x512", "fidi", "of floor", 1.0),
    Aim("cpu", "1024x4x512", "triplet", "of floor", 1.0),
    Aim("cpu", "1024x4x512", "smooth_ap", "of floor", 1.5),
    Aim("cpu", "scores-100000-2000", "rank_sort", "of floor", 1.0),
    Aim("cpu", "scores-1000000-10000", "rank_sort", "of case scores-100000-2000", 15.0),
    Aim("cpu", "evaluate-market1501", "evaluate", "of floor", 1.3),
    Aim("cpu", "evaluate-msmt17", "evaluate", "of floor", 1.3),
    Aim("cpu", "evaluate-market1501", "evaluate", "bytes", GIB),
    Aim("cpu", "evaluate-msmt17", "evaluate", "bytes", GIB),
    Aim("cuda", "64x4x2048", "drsl", "graph ms", 0.015),
    Aim("cuda", "64x4x2048", "drsl", "eager ms", 0.120),
    Aim("cuda", "64x4x2048", "drsl", "of reference", 1 / 10),
    Aim("cuda", "64x4x2048", "drsl", "of compiled", 1 / 3),
    Aim("cuda", "8x64x4x768", "drsl", "of case 64x4x768", 1.5),
    Aim("cuda", "4096x16x512", "drsl", "of floor", 0.75),
    Aim("cuda", "1024x16x512", "drsl", "of floor", 0.8),
    Aim("cuda", "1024x16x512", "drsl", "of reference", 1 / 15),
    Aim("cuda", "1024x16x512", "drsl", "of compiled", 1 / 3),
    Aim("cuda", "16384x4x512-bf16", "drsl", "of floor", 2.2),
    Aim("cuda", "16384x4x512-bf16-clustered", "drsl", "of floor", 1.5),
    Aim("cuda", "65536x4x512-bf16", "drsl", "of floor", 2.6),
    Aim("cuda", "65536x4x512-bf16-clustered", "drsl", "of floor", 1.6),
    Aim("cuda", "65536x4x512-bf16", "drsl", "bytes", GIB),
    Aim("cuda", "262144x4x128-bf16", "drsl", "ms", 600),
    Aim("cuda", "262144x4x128", "drsl", "ms", 2000),
    Aim("cuda", "262144x4x128-bf16", "drsl", "bytes", 4 * GIB),
    Aim("cuda", "262144x4x128", "drsl", "bytes", 4 * GIB),
    Aim("cuda", "scores-1000000-10000", "rank_sort", "of floor", 2.5),
    Aim("cuda", "evaluate-msmt17", "evaluate", "of floor", 1.15),
    Aim("cuda", "evaluate-msmt17-tf32", "evaluate", "of floor", 1.7),
    Aim("cuda", "evaluate-msmt17-bf16", "evaluate", "of floor", 2.0),
    Aim("cuda", "evaluate-msmt17", "evaluate", "bytes", GIB),
)


def both_ms(row):
    return row and row["ms"]["both"]["median"]


def achieved(aim, found):
    """The number that an aim speaks of, or None where it was not measured."""
    row = results.one(found, aim.case, aim.loss, OURS)
    if row is None:
        return None
    if aim.what == "of floor":
        return row["of_floor"]["median"]
    if aim.what == "bytes":
        return row["bytes"]
    if aim.what == "ms":
        return both_ms(row)
    if aim.what in ("graph ms", "eager ms"):
        return row.get(aim.what.replace(" ", "_"))
    if aim.what.startswith("of case "):
        other = results.one(found, aim.what.removeprefix("of case "), aim.loss, OURS)
        if other and row.get("graph_ms") and other.get("graph_ms"):
            return row["graph_ms"] / other["graph_ms"]
        return other and both_ms(row) / both_ms(other)
    other = results.one(found, aim.case, aim.loss, aim.what.removeprefix("of "))
    return other and row["of_floor"]["median"] / other["of_floor"]["median"]


def judged(found):
    """[(aim, value, met)] of those that were measured, on the kind of device that it was."""
    for aim in AIMS:
        value = achieved(aim, found) if aim.kind == found["machine"]["kind"] else None
        if value is not None:
            yield aim, value, value <= aim.limit


def told(aim, value, met):
    """A line of a table: case, loss, what, limit, value, verdict."""
    from bench.terminal import number, size

    what = aim.what
    if what.startswith("of case "):
        what = f"of {BY_NAME[what.removeprefix('of case ')].title}"
    show = size if aim.what == "bytes" else number
    return [
        BY_NAME[aim.case].full_title, aim.loss, what, f"≤ {show(aim.limit)}", show(value),
        "met" if met else "**missed**",
    ]  # fmt: skip
