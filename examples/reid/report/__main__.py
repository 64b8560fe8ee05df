"""python -m report FOLDER: makes FOLDER/report.html again from the results in it, without training."""

import sys

import report


def main(arguments):
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("usage: python -m report FOLDER", file=sys.stderr)
        return 2
    try:
        print(report.write(arguments[0]))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
