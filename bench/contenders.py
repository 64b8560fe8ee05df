"""Who is timed: one table of names, what each can do, and what it takes to be there.

`--with MODULE` imports a module of yours, which adds a contender: contenders.add(Contender(...)).
"""

import importlib.util
from collections.abc import Callable
from typing import NamedTuple

from bench import steps
from bench.cases import LOSSES, UnknownName


class Contender(NamedTuple):
    name: str  # what --against takes
    title: str  # in tables
    build: Callable  # (case, loss, data) -> a step
    losses: tuple  # of ours, which it does or stands beside
    kinds: tuple = ("batch", "gallery")
    same: bool = True  # it computes that very loss: compared with the reference, else looked at
    needs: str | None = None  # a module without which it is absent
    compiles: bool = False  # when it is first called: takes longer, and memory that is not its own
    refuses: Callable = lambda case: None  # case -> why not, in a sentence
    installed: Callable = lambda: None  # why it is absent, in a sentence

    def absent(self):
        if self.needs and importlib.util.find_spec(self.needs) is None:
            return f"{self.needs} is not installed"
        return self.installed()

    def does(self, case, loss):
        return case.kind in self.kinds and loss in self.losses and loss in case.losses


UNROLLED = 2**24  # pairs, four blocks of the reference
OURS, FLOOR = "ours", "floor"
EVERY_KIND = ("batch", "gallery", "scores", "evaluation")


def _only_moderate(case):
    if case.kind == "evaluation":
        return "distances from differences, every one: it takes hours"
    return None


def _only_one_graph(case):
    if case.kind != "scores" and case.sets * case.size * case.columns * case.positives > UNROLLED:
        return (
            "the reference goes through it in many blocks, all of which a graph would have to hold"
        )
    return None


CONTENDERS = {}


def add(contender):
    CONTENDERS[contender.name] = contender


add(Contender(OURS, "ours", steps.ours, LOSSES, EVERY_KIND))
add(
    Contender(
        "reference", "reference, eager", steps.plain, LOSSES, EVERY_KIND, refuses=_only_moderate
    )
)
add(
    Contender(
        "compiled", "reference, torch.compile", steps.compiled, ("drsl", "rank_sort"),
        ("batch", "gallery", "scores"), compiles=True, refuses=_only_one_graph,
    )
)  # fmt: skip


def load():
    """The table with peers in it."""
    from bench import authors, peers  # noqa: F401  they add themselves

    return CONTENDERS


def choose(names):
    """Contenders beside ours, by the names on a command line; all of them without any."""
    table = load()
    for name in names:
        if name != "none" and name not in table:
            raise UnknownName(
                f"no contender is called {name!r}; there are none, {', '.join(table)}"
            )
    return [c for c in table.values() if c.name != OURS and (not names or c.name in names)]
