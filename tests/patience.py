"""For tests of what ends programs that hang."""

from pathlib import Path


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def patiently(check, *limits):
    """check(limit) with the first of the limits that this machine is fast enough for.

    A short limit saves time, but a slow or busy machine does not even start a program within it. The
    last limit has to do, so what is wrong with each of them fails.
    """
    for limit in limits[:-1]:
        try:
            return check(limit)
        except AssertionError:
            pass
    return check(limits[-1])
