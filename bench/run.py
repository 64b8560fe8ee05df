"""A run: its jobs one after the other, every outcome a row, the file written after each."""

import os
import time
from pathlib import Path

from bench import contenders, machine, plan, results, serving
from bench.processes import Workers

FINISHED = ("measured", "wrong", "failed", "out of memory", "timed out", "died", "left out")
RESERVE = 3.0  # seconds; with less than that left nothing is begun


def settings_of(options, seed, rates=None, log=os.devnull):
    """What a worker process is told."""
    environment = {"TORCHINDUCTOR_COMPILE_THREADS": "1"}
    if options.authors:
        environment["DRSL_BENCH_AUTHORS"] = str(Path(options.authors).resolve())
    os.environ.update(environment)
    return {
        "device": options.device,
        "threads": options.threads,
        "seconds": options.seconds,
        "memory": int(options.memory * 2**30),
        "patience": options.patience,
        "seed": seed,
        "modules": options.modules,
        "environment": environment,
        "log": str(log),
        "rates": rates,
    }


class Run:
    def __init__(self, found, options, cases, others, part, show):
        self.found, self.options, self.part, self.show = found, options, part, show
        self.end = time.monotonic() + 60 * options.budget
        log = part.with_name("workers.log")
        log.parent.mkdir(parents=True, exist_ok=True)
        log.unlink(missing_ok=True)
        self.settings = settings_of(options, found["settings"]["seed"], log=log)
        self.others = []
        for contender in others:
            why = contender.absent()  # asks for what the settings put into the environment
            if why:
                found["absent"][contender.name] = why
            else:
                found["absent"].pop(contender.name, None)
                self.others.append(contender)
        self.jobs = plan.jobs(cases, self.others, options.patience)
        self.workers = Workers(self.settings)

    def save(self):
        results.save(self.found, self.part)

    def everything(self):
        self.found["load"].append(machine.load())
        try:
            self.measure_rates()
            self.settings["rates"] = self.found["rates"]
            for number, job in enumerate(self.jobs):
                self.show.at(number, len(self.jobs), job)
                self.one(job)
                self.save()
        finally:
            self.workers.end()
            self.found["load"].append(machine.load())
            self.save()
        self.show.done(len(self.jobs))

    def measure_rates(self):
        if self.found["rates"]:
            return
        self.show.note("what this machine does at best: copies, products")
        job = {"case": None, "contender": serving.RATES, "losses": (), "patience": 120.0}
        state, told = self.workers.run(job, lambda row: self.found.update(row))
        if not self.found["rates"]:
            self.show.warn(f"the rates of this machine were not measured: {state}, {told}")
            self.found["rates"] = {"copy": float("inf"), "products": {}, "measured": []}

    def one(self, job):
        names = {"case": job.case.name, "contender": job.contender.name}
        missing = [loss for loss in job.losses if not self.has(job, loss)]
        if not missing:
            return
        reason = plan.why_not(job, self.found["rows"])
        left = self.end - time.monotonic()
        if reason is None and left < RESERVE:
            reason = "not run", "no time was left"
        got = set()

        def heard(row):
            got.add(row["loss"])
            results.put(self.found, row)

        if reason is None:
            patience = min(job.patience, max(RESERVE, left))
            reason = self.workers.run({**names, "losses": missing, "patience": patience}, heard)
            if reason[0] == "timed out" and patience < job.patience:
                reason = "not run", "no time was left"
        for loss in missing:
            if loss not in got:
                state, told = reason if reason[0] != "done" else ("failed", "it gave no result")
                heard({**names, "loss": loss, "state": state, "told": told})

    def has(self, job, loss):
        found = results.rows(self.found, job.case.name, loss, job.contender.name)
        return bool(found) and found[0]["state"] in FINISHED


def status_of(found):
    """1 if something was wrong, or ours did not come to its end."""
    wrong = [row for row in found["rows"] if row["state"] == "wrong"]
    bad = ("failed", "died", "out of memory", "timed out")
    ours = [
        row for row in found["rows"] if row["contender"] == contenders.OURS and row["state"] in bad
    ]
    return 1 if wrong or ours else 0
