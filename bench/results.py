"""The file of a run: everything that was measured and where, as JSON, written whole or not at all."""

import json
import os
from pathlib import Path

FORMAT = 1
NAME, PART = "results.json", "results.part.json"  # the second while the run goes on
SAME = ("device", "threads", "commit", "dirty", "python", "packages")  # or a run is another one


class Unusable(ValueError):
    """A file that cannot be used, and why, in a sentence."""


def write(path, text):
    """Beside it first: a run that is cut off, or a full disk, leaves the file as it was."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def new(machine, settings):
    return {
        "format": FORMAT,
        "machine": machine,
        "settings": settings,
        "load": [],
        "rates": None,
        "absent": {},
        "rows": [],
    }


def save(results, path):
    write(path, json.dumps(results, indent=1) + "\n")


def read(path):
    try:
        results = json.loads(Path(path).read_text())
    except FileNotFoundError:
        raise Unusable(f"there is no file {path}") from None
    except (OSError, ValueError) as error:
        raise Unusable(f"{path} cannot be read as results: {error}") from None
    if not isinstance(results, dict) or results.get("format") != FORMAT:
        raise Unusable(f"{path} is no file of results of this benchmark (format {FORMAT})")
    return results


def resume(path, fresh):
    """What an unfinished run left, if it was the same run; otherwise why it cannot go on."""
    old = read(path)
    for key in SAME:
        if old["machine"].get(key) != fresh["machine"].get(key):
            raise Unusable(
                f"{path} was made with {key} {old['machine'].get(key)!r}, this is "
                f"{fresh['machine'].get(key)!r}: begin anew without --resume"
            )
    if old["settings"]["seconds"] != fresh["settings"]["seconds"]:
        raise Unusable(f"{path} was made with other --seconds: begin anew without --resume")
    old["settings"] = fresh["settings"] | {"seed": old["settings"]["seed"]}
    return old


def key(row):
    return row["case"], row["loss"], row["contender"]


def put(results, row):
    """In place of a row for the same thing."""
    results["rows"] = [other for other in results["rows"] if key(other) != key(row)] + [row]


def rows(results, case=None, loss=None, contender=None, state=None):
    wanted = {"case": case, "loss": loss, "contender": contender, "state": state}
    return [
        row
        for row in results["rows"]
        if all(value is None or row[name] == value for name, value in wanted.items())
    ]


def one(results, case, loss, contender):
    """That row if it was measured, or None."""
    found = rows(results, case, loss, contender, "measured")
    return found[0] if found else None
