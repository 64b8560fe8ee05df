"""Which jobs a run has, in the order of their importance, and which of them are not worth a try."""

from typing import NamedTuple

from bench import validate
from bench.cases import BY_NAME
from bench.contenders import CONTENDERS, OURS

ENDED_EARLY = ("timed out", "out of memory", "died")
CALLS = 4  # of a step in a job, at least
HEAVY = 15  # times the patience, for ours at a case that takes minutes
COMPILES = 3


class Job(NamedTuple):
    case: object
    contender: object
    losses: tuple
    patience: float  # seconds


def jobs(cases, contenders, patience):
    """Ours at every case, then the others, then what takes minutes, then what compiles."""
    found = []
    for case in cases:
        if CONTENDERS[OURS].does(case, case.losses[0]):
            longer = HEAVY if case.heavy else 3
            found.append(Job(case, CONTENDERS[OURS], case.losses, patience * longer))
        for contender in contenders:
            longer = COMPILES if contender.compiles else 1
            for loss in filter(lambda loss: contender.does(case, loss), case.losses):
                found.append(Job(case, contender, (loss,), patience * longer))
    return sorted(found, key=_rank)


def _rank(job):
    """Others go from small cases to large ones, so that what is too much is known in time."""
    if job.contender.name == OURS:
        return (2, 0) if job.case.heavy else (0, 0)
    late = job.contender.compiles or job.case.heavy
    return 3 if late else 1, size_of(job.case)


def size_of(case):
    """What time and memory of any contender grow with."""
    return validate.pairs(case), case.sets * case.size * case.columns * max(1, case.dim)


def why_not(job, rows):
    """Why a job is not tried: (state, what is told), or None."""
    refusal = job.contender.refuses(job.case)
    if refusal:
        return "left out", refusal
    if job.contender.name == OURS:
        return None
    for row in rows:
        other = BY_NAME.get(row["case"])
        if row["contender"] != job.contender.name or row["loss"] not in job.losses:
            continue
        if other is None or other.kind != job.case.kind:
            continue
        times = [a / b for a, b in zip(size_of(job.case), size_of(other), strict=True)]
        if min(times) < 1:
            continue
        if row["state"] in ENDED_EARLY:
            return "left out", f"{row['state']} at {other.title} already"
        if row["state"] == "measured":
            guess = min(times) * row["ms"]["both"]["median"] / 1e3
            if CALLS * guess > job.patience:
                return "left out", f"about {guess:.0f} s a call, by its time at {other.title}"
    return None
