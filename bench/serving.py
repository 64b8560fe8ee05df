"""The process of a worker: its limits, and jobs from the parent until that hangs up."""

import importlib
import os
import resource
import signal
import sys

import torch

from bench import cases, contenders, rates
from bench.worker import Job, failure

RATES = "rates"  # in place of a contender: what the machine does


def confine(settings):
    """Limits of this process: memory, and a clock of its own if the parent is gone."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(int(settings["patience"]) + 60)
    if settings["memory"] and settings["device"] == "cpu":
        held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        limit = int(held + settings["memory"])
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    log = os.open(settings["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)


def run_job(tell, case, name, losses, settings):
    if name == RATES:
        return tell(("row", {"rates": rates.measure(settings["device"], settings["seconds"])}))
    torch.set_float32_matmul_precision(case.precision)
    contender = contenders.load()[name]
    Job(tell, case, contender, losses, settings).run()


def serve(connection, settings):
    """Jobs from the parent, until it hangs up."""
    confine(settings)
    os.environ.update(settings["environment"])
    if settings["threads"]:
        torch.set_num_threads(settings["threads"])
    for module in settings["modules"]:
        importlib.import_module(module)
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        signal.alarm(int(job["patience"]) + 60)
        try:
            run_job(connection.send, cases.BY_NAME.get(job["case"]), job["contender"],
                    job["losses"], {**settings, **job})  # fmt: skip
        except Exception as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            connection.send(("failed", failure(error, settings["memory"])))
        if settings["device"] == "cuda":
            torch.cuda.empty_cache()
        connection.send(("done", None))
