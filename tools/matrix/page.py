"""The table, on the terminal and in docs/compatibility.md."""

import os
import platform
from datetime import date

BEGIN, END = "<!-- matrix: begin -->", "<!-- matrix: end -->"


def table(rows, results):
    lines = ["| | | result | |", "|---|---|---|---|"]
    before = None
    for row in rows:
        found = results.get(row.name, {"result": "not run", "told": ""})
        group = "" if row.group == before else row.group
        told = found["told"].replace("|", "\\|")
        lines.append(f"| {group} | {row.what} | {found['result']} | {told} |")
        before = row.group
    return "\n".join(lines)


def write(path, rows, results):
    text = path.read_text()
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    dates = sorted({found["date"] for found in results.values()}) or [date.today().isoformat()]
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    where = f"Linux {platform.machine()}, glibc {platform.libc_ver()[1]}"
    made = f"Run on {when} on {where}.\n\n{table(rows, results)}"
    beside = path.with_suffix(".part")
    with beside.open("w") as out:
        out.write(f"{head}{BEGIN}\n{made}\n{END}{tail}")
        out.flush()
        os.fsync(out.fileno())
    beside.replace(path)
