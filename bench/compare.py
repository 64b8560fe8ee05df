"""What got slower since an older run, beyond the spread of both: the regression guard.

Compared is the ratio to the yardstick that took turns with it, since the machine may have been busier
this time, or be another one. A row is slower where its quartiles lie above the older ones, and its median
is 5 % above.
"""

from bench import results
from bench.contenders import FLOOR

LEAST = 0.05  # a smaller difference is none


def baseline(path):
    return results.read(path)


def narrow(options, old):
    """To what the older run measured, and to ours, where the command line does not say more."""
    measured = results.rows(old, state="measured")
    if not options.quick and not options.case:
        options.case = list(dict.fromkeys(row["case"] for row in measured))
    options.against = options.against or ["none"]


def verdict(old, new):
    """-1 faster, 0 within the spread, 1 slower, of two statistics."""
    if new["q1"] > old["q3"] and new["median"] > (1 + LEAST) * old["median"]:
        return 1
    if new["q3"] < old["q1"] and new["median"] < (1 - LEAST) * old["median"]:
        return -1
    return 0


def rows(old, new):
    """[(row, older statistics, newer ones, verdict)] of all that both measured."""
    for row in results.rows(new, state="measured"):
        before = results.one(old, *results.key(row))
        if before and row["contender"] != FLOOR:
            then, now = before["of_floor"], row["of_floor"]
            yield row, then, now, verdict(then, now)


def lost(old, new):
    """Rows that were measured then and, though tried, not now."""
    for row in new["rows"]:
        if row["state"] not in ("measured", "not run") and results.one(old, *results.key(row)):
            yield row


def told(old, new):
    """Prints what differs; 1 if something got slower or is lost, else 0."""
    from bench.terminal import number

    compared = list(rows(old, new))
    for row, then, now, which in compared:
        if which:
            change = 100 * (now["median"] / then["median"] - 1)
            spread = f"{number(then['q1'])}–{number(then['q3'])}, now {number(now['q1'])}–{number(now['q3'])}"
            print(
                f"{'slower' if which > 0 else 'faster'}: {' '.join(results.key(row))}: "
                f"{number(then['median'])} → {number(now['median'])} of the floor "
                f"({change:+.0f} %; quartiles {spread})"
            )
    gone = list(lost(old, new))
    for row in gone:
        print(f"lost: {' '.join(results.key(row))}: {row['state']}: {row['told']}")
    slower = sum(which > 0 for *_, which in compared)
    if not compared:
        print("nothing was measured in both, so nothing is compared")
        return 1
    print(f"{len(compared)} rows compared: {slower} slower, {len(gone)} lost")
    return 1 if slower or gone else 0


def files(old, new):
    return told(results.read(old), results.read(new))
