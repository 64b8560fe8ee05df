"""What a run says: a line on stderr while it goes on, a table on stdout at its end."""

import shutil
import sys
import time

from bench import results
from bench.cases import BY_NAME
from bench.contenders import FLOOR, OURS, load

BAR = 24


class Progress:
    def __init__(self, stream=None):
        self.stream = stream or sys.stderr
        self.live = self.stream.isatty()
        self.start = time.monotonic()
        self.length = 0

    def at(self, number, count, job):
        passed = time.monotonic() - self.start
        left = f", about {clock(passed / number * (count - number))} left" if number > 3 else ""
        filled = round(BAR * number / max(1, count))
        bar = "█" * filled + "·" * (BAR - filled)
        what = f"{job.case.full_title}: {job.contender.title}"
        self._line(f"{bar} {number}/{count} {clock(passed)}{left}  {what}")

    def note(self, text):
        self._line(text)

    def warn(self, text):
        self._clear()
        print(text, file=self.stream, flush=True)

    def done(self, count):
        self._clear()
        passed = clock(time.monotonic() - self.start)
        print(f"{count} jobs in {passed}", file=self.stream, flush=True)

    def _line(self, text):
        if not self.live:
            print(text, file=self.stream, flush=True)
            return
        width = shutil.get_terminal_size().columns - 1
        text = text[:width]
        self.stream.write("\r" + text.ljust(min(self.length, width)))
        self.stream.flush()
        self.length = len(text)

    def _clear(self):
        if self.live and self.length:
            self.stream.write("\r" + " " * self.length + "\r")
            self.length = 0


def clock(seconds):
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def number(value, digits=3):
    """Three digits, without an exponent where that can be read."""
    if value is None:
        return "–"
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        text = f"{value:#.{digits}g}" if abs(value) < 10**digits else f"{value:,.0f}"
        return text.rstrip(".")
    return f"{value:.{digits - 1}e}"


def size(value):
    """Bytes, to read."""
    if value is None:
        return "–"
    for unit, step in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if value >= step:
            return f"{number(value / step)} {unit}"
    return "< 1 KiB"


HEAD = (
    "",
    "forward",
    "backward",
    "both ms",
    "quartiles",
    "× floor",
    "memory",
    "GFLOP/s",
    "of bound",
)


def name_of(row):
    title = load()[row["contender"]].title if row["contender"] in load() else row["contender"]
    if row["contender"] == FLOOR:
        return f"floor: {row['told']}"
    return (
        f"{title}, {row['loss']}" if row["contender"] in (OURS, "reference", "compiled") else title
    )


def cells(row):
    if row["state"] != "measured":
        return [name_of(row), f"{row['state']}: {row['told']}"]
    ms = row["ms"]
    both = ms["both"]
    backward = ms["backward"]["median"]
    return [
        name_of(row),
        number(ms["forward"]["median"]),
        number(backward) if backward > 1e-3 else "–",
        number(both["median"]),
        f"{number(both['q1'])}–{number(both['q3'])}",
        number(row["of_floor"]["median"]) if "of_floor" in row else "1",
        size(row.get("bytes")),
        number(row["flops"] / 1e9) if row.get("flops") else "–",
        f"{100 * row['of_bound']:.0f} %" if row.get("of_bound") else "–",
    ]


def in_order(found, case):
    """Rows of a case: the floor, ours, the others as the table of contenders has them."""
    order = [FLOOR, *load()]
    known = {name: place for place, name in enumerate(order)}
    mine = results.rows(found, case)
    return sorted(mine, key=lambda row: known.get(row["contender"], len(order)))


def table(found):
    """Every case that has rows, as text."""
    lines = []
    for case in dict.fromkeys(row["case"] for row in found["rows"]):
        title = BY_NAME[case].full_title if case in BY_NAME else case
        rows = [cells(row) for row in in_order(found, case)]
        full = [row for row in [HEAD, *rows] if len(row) == len(HEAD)]
        widths = [max(len(row[column]) for row in full) for column in range(len(HEAD))]
        widths[0] = max(len(row[0]) for row in rows)
        lines += ["", f"{title}  [{case}]"]
        for row in [HEAD, *rows]:
            padded = [row[0].ljust(widths[0])]
            if len(row) == len(HEAD):
                padded += [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
            else:
                padded.append(row[1])
            lines.append("  " + "  ".join(padded).rstrip())
    lines += [f"{name}: not there: {why}" for name, why in found["absent"].items()]
    return "\n".join(lines)
