"""Which jobs a run has, in the order of their importance, and which of them are not worth a try."""

from typing import NamedTuple

from bench import validate
from bench.contenders import CONTENDERS, OURS

ENDED_EARLY = ("timed out", "out of memory", "died")
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
    ours = job.contender.name == OURS
    if job.contender.compiles:
        return 4 if job.case.heavy else 3
    if job.case.heavy:
        return 2 if ours else 4
    return 0 if ours else 1


def size_of(case):
    """What time and memory of any contender grow with."""
    return validate.pairs(case), case.sets * case.size * case.columns * max(1, case.dim)


def why_not(job, rows):
    """Why a job is not tried: (state, what is told), or None."""
    refusal = job.contender.refuses(job.case)
    if refusal:
        return "left out", refusal
    from bench.cases import BY_NAME

    for row in rows:
        if row["contender"] != job.contender.name or row["loss"] not in job.losses:
            continue
        other = BY_NAME.get(row["case"])
        if row["state"] not in ENDED_EARLY or other is None or other.kind != job.case.kind:
            continue
        if job.contender.name != OURS and all(
            have >= tried for have, tried in zip(size_of(job.case), size_of(other), strict=True)
        ):
            return "left out", f"{row['state']} at {other.title} already"
    return None
