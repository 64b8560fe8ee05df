"""Where we lose: who is ahead of ours at a case, and where even the floor is."""

from fnmatch import fnmatchcase

from bench import results
from bench.cases import BY_NAME
from bench.contenders import FLOOR, OURS

CLOSE = 0.05  # of the floor; from run to run ratios differ by as much

# (case, contender) patterns: why that is so, from measurement, in a short line. The first that fits is told.
SMALL = (
    "A call costs about 0.1 ms of a core at any size; so small a product hides no pass over rows"
)
MIRROR = "A gallery has no symmetry that halves a product, so the pass over rows comes on top"
STREAMED = "Streamed: a block has two products behind its rows, and no symmetry halves one"
BARE = "A call costs about 0.1 ms of a core, a bare autograd.Function 0.02, the products 0.006"
WHY = (
    ("8x4x64", FLOOR, BARE),
    ("64x4x*", FLOOR, SMALL),
    ("64x16x*", FLOOR, SMALL),
    ("8x64x*", FLOOR, SMALL),
    ("128x4x*", FLOOR, SMALL),
    ("4096x2048x512", FLOOR, "Each query has 2,047 positives: sums over pairs need two trees a row"),
    ("*-of-*", FLOOR, MIRROR),
    ("16384x4x*", FLOOR, STREAMED),
    ("65536x4x*", FLOOR, STREAMED),
)  # fmt: skip


def ahead(found):
    """[(case, row)] of others that are faster than ours: than DRSL, or the same loss on scores."""
    for row in results.rows(found, state="measured"):
        case = BY_NAME.get(row["case"])
        if case and "of_ours" in row and row["of_ours"]["median"] < 1:
            yield case, row


def above_floor(found):
    """[(case, row)] of ours, first loss of the case, that takes longer than the yardstick."""
    for name in dict.fromkeys(row["case"] for row in found["rows"]):
        case = BY_NAME.get(name)
        row = case and results.one(found, name, case.losses[0], OURS)
        if row and row["of_floor"]["median"] > 1 + CLOSE:
            yield case, row


def why(case, contender):
    """In a sentence, or None where nobody has said."""
    for names, contenders, sentence in WHY:
        if fnmatchcase(case.name, names) and fnmatchcase(contender, contenders):
            return sentence
    return None
