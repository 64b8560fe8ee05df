"""A job in a process of its own: one contender at one case, with the yardstick beside it.

Inputs, the first call with its peak of memory, validation, and only then times: the yardstick and
every loss of the job in turns. Rows go to the parent as they are ready, and so does what the job is at,
which is all that is known of a job that dies.
"""

import time

from bench import (
    cases,
    contenders,
    floor_steps,
    floors,
    gpu_figures,
    inputs,
    memory,
    validate,
)
from bench.steps import ours
from bench.timing import Timer, figures, ratios

TINY = {
    "batch": cases.TINY,
    "gallery": cases.gallery(8, 96, 4, 16),
    "scores": cases.scores(200, 10),
    "evaluation": cases.evaluation("tiny", 20, 200, 16),
}
BESIDE = "ours, beside"
SLOW = 20.0  # seconds; a step that takes longer is timed in its first call, which is checked


def out_of_memory(error):
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(
        sign in text for sign in ("out of memory", "allocate memory", "bad_alloc")
    )


def failure(error, memory_cap):
    """(state, what is told) of an exception."""
    if out_of_memory(error):
        cap = f" of {memory_cap / 2**30:.3g} GiB" if memory_cap else ""
        return "out of memory", f"it wanted more than its share{cap}"
    lines = str(error).strip().splitlines() or [""]
    return "failed", f"{type(error).__name__}: {lines[0]}"[:200]


class Job:
    def __init__(self, tell, case, contender, losses, settings):
        self.tell, self.case, self.settings, self.losses = tell, case, settings, losses
        self.contender = contender
        self.device = settings["device"]
        self.timer = Timer(self.device)
        self.data = inputs.make(case, self.device, settings["seed"])
        self.rows, self.steps = {}, {}
        self.slow = None  # what the first call took, where that is to be enough

    def row(self, loss, **more):
        self.rows.setdefault(
            loss, {"case": self.case.name, "loss": loss, "contender": self.contender.name}
        )
        self.rows[loss] |= more
        return self.rows[loss]

    def at(self, phase, loss=""):
        self.tell(("at", f"{loss} {phase}".strip()))

    def run(self):
        for loss in self.losses:
            try:
                self.prepare(loss)
            except (Exception, MemoryError) as error:
                self.steps.pop(loss, None)
                state, told = failure(error, self.settings["memory"])
                self.tell(("row", self.row(loss, state=state, told=told)))
        if self.steps:
            self.time()

    def prepare(self, loss):
        self.at("building", loss)
        row = self.row(loss)
        self.load_libraries(loss)
        step = self.contender.build(self.case, loss, self.data)
        self.at("the first call", loss)
        if self.contender.compiles:
            step.both()
        (value, pair), held = memory.peak(lambda: self.first(step), self.timer.on_gpu)
        # A thread keeps its workspace: what a second loss needs of it is there already.
        row["bytes"] = held if self.timer.on_gpu or len(self.rows) == 1 else None
        if sum(pair) > 1e3 * SLOW and len(self.losses) == 1:
            self.slow = [pair]
        self.at("validation", loss)
        check = validate.check(self.contender, step, value, self.case, loss, self.data)
        row["check"] = {**check.as_dict(), "told": check.told()}
        if not check.good:
            self.tell(("row", self.row(loss, state="wrong", told=check.told())))
            return
        self.steps[loss] = step

    def first(self, step):
        """What a call returns, and its milliseconds of (forward, backward)."""
        start = time.perf_counter()
        value = step.forward()
        self.timer.wait()
        middle = time.perf_counter()
        if step.backward:
            step.backward(value)
        self.timer.wait()
        return value, (1e3 * (middle - start), 1e3 * (time.perf_counter() - middle))

    def load_libraries(self, loss):
        """So that what a first call ever maps and keeps is not counted as this case's memory."""
        if not self.contender.compiles:
            tiny = TINY[self.case.kind]
            data = inputs.make(tiny, self.device, 0)
            self.contender.build(tiny._replace(losses=(loss,)), loss, data).both()

    def time(self):
        self.at("timing")
        floor = floor_steps.floor(self.case, self.data)
        extra = {}
        if self.contender.name == contenders.OURS and self.timer.on_gpu:
            for loss, step in self.steps.items():
                if self.case.kind == "batch" or loss == "rank_sort":
                    more = gpu_figures.of(step, self.rows[loss])
                    extra |= {f"{loss}, {name}": value for name, value in more.items()}
        steps = {contenders.FLOOR: floor, **self.beside(), **self.steps, **extra}
        seconds = self.settings["seconds"] * (1 + len(steps) / 4)
        if self.slow:
            steps = {contenders.FLOOR: floor}
        samples = self.timer.in_turns(steps, seconds, ready=bool(self.slow))
        if self.slow:
            first = samples[contenders.FLOOR][:1]
            samples = {contenders.FLOOR: first, next(iter(self.steps)): self.slow}
        base = samples[contenders.FLOOR]
        if self.contender.name == contenders.OURS:
            self.tell(("row", self.floor_row(base)))
        cold = self.cold_samples(seconds)
        for loss, step in self.steps.items():
            row = self.row(loss, state="measured", **self.derived(samples[loss], base))
            if BESIDE in samples:
                row["of_ours"] = ratios(samples[loss], samples[BESIDE])
            if cold:
                row["cold"] = {
                    "ms": figures(cold[loss])["both"],
                    "of_floor": ratios(cold[loss], cold[contenders.FLOOR]),
                }
            for name in ("graph", "nothing"):
                if f"{loss}, {name}" in samples:
                    row[f"{name}_ms"] = figures(samples[f"{loss}, {name}"])["both"]["median"]
            if extra:
                row["eager_ms"] = self.timer.one_after_the_other(step, 0.2)
            self.tell(("row", row))

    def beside(self):
        """Ours, in turns with what another does, so that who is ahead is told by one process."""
        if self.contender.name == contenders.OURS:
            return {}
        (loss,) = self.steps
        step = ours(self.case, "drsl" if loss in cases.FAMILY else loss, self.data)
        return {BESIDE: step}

    def cold_samples(self, seconds):
        """Where all of it fits the last-level cache: with that overwritten before each call."""
        case = self.case
        held = 4 * case.sets * (case.size * max(case.dim, 1) + case.size * case.columns)
        ours = self.contender.name == contenders.OURS
        if self.timer.on_gpu or not ours or case.kind != "batch" or held > self.timer.cache / 2:
            return None
        self.at("timing, cache overwritten")
        steps = {contenders.FLOOR: floor_steps.floor(case, self.data), **self.steps}
        return self.timer.in_turns(steps, seconds / 2, cold=True, ready=True)

    def floor_row(self, base):
        row = {
            "case": self.case.name,
            "loss": "",
            "contender": contenders.FLOOR,
            "state": "measured",
            "told": floor_steps.name(self.case),
            "ms": figures(base),
        }
        if self.case.kind != "scores":
            products = self.case._replace(kind="gallery", gallery=self.case.columns)
            if self.case.kind == "evaluation":
                products = self.case
            (floor,) = floors.least(products)
            seconds = 1e-3 * row["ms"]["both"]["median"]
            row["flops"] = self.case.sets * floor.flops / seconds
        return row

    def derived(self, pairs, base):
        ms = figures(pairs)
        found = {
            "ms": ms,
            "floor_ms": figures(base)["both"]["median"],
            "of_floor": ratios(pairs, base),
        }
        if self.contender.name == contenders.OURS:
            seconds = 1e-3 * ms["both"]["median"]
            found |= floors.reached(self.case, self.device, seconds, self.settings["rates"])
        return found
