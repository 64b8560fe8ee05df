"""python tools/matrix: the library on every torch, Python, compiler and way to install that can be had.

Needs the package index, and for hours of rows: an hour, 30 GB of disk (environments are kept: `--folder`
may be removed at any time) and whatever of the Pythons and compilers is on the machine. With uv on PATH
environments are made in a tenth of the time, with ccache builds share what is the same.

A row that fails, or whose Python or compiler is not here, is a row of the table that says so; the log
lies in FOLDER/logs. What has a result is not run again unless --again. The table goes to
docs/compatibility.md with --write, between its markers. Exit status: 1 if a row failed.
"""

import argparse
import sys
from pathlib import Path

import page
from rows import all_rows
from work import Bench

ROOT = Path(__file__).resolve().parents[2]


def main():
    parser = argparse.ArgumentParser(
        prog="make matrix",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--folder", type=Path, default=ROOT / "build/matrix")
    parser.add_argument("--library", type=Path, help="default: the one that was built in place")
    parser.add_argument(
        "--wheel", type=Path, help="for rows that install; default: what a row has made"
    )
    parser.add_argument(
        "--cheap", action="store_true", help="only what needs no environment and no build"
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="rows whose name has TEXT")
    parser.add_argument("--again", action="store_true", help="run rows that have a result, too")
    parser.add_argument("--list", action="store_true", help="name the rows, and run none")
    parser.add_argument("--write", action="store_true", help="write docs/compatibility.md")
    options = parser.parse_args()

    bench = Bench(ROOT, options.folder.resolve(), options.library, options.wheel, options.cheap)
    rows = [row for row in all_rows() if row.cheap or not options.cheap]
    for row in rows:
        if options.list:
            print(row.name)
        elif options.only in row.name and (options.again or row.name not in bench.results):
            print(f"{row.name} ...", end=" ", flush=True)
            result = bench.run(row)
            print(f"{result['result']}, {result['seconds']:.0f} s: {result['told']}", flush=True)
    if options.list:
        return 0
    print("\n" + page.table(rows, bench.results))
    if options.write:
        page.write(ROOT / "docs/compatibility.md", rows, bench.results)
    return int(any(found["result"] == "fails" for found in bench.results.values()))


if __name__ == "__main__":
    sys.exit(main())
