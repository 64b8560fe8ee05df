"""For tests of what ends a program that hangs, which have to wait for its time to be up."""


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
