"""A trace of each case (chrome://tracing, Perfetto): where the time of a step goes, by torch's profiler."""

import secrets

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from bench import inputs, steps
from bench.machine import slug

STEPS = 5


def trace(cases, options, folder):
    torch.set_num_threads(options.threads or torch.get_num_threads())
    seed = options.seed if options.seed is not None else secrets.randbelow(2**31)
    folder = folder / "traces"
    folder.mkdir(parents=True, exist_ok=True)
    for case in cases:
        torch.set_float32_matmul_precision(case.precision)
        data = inputs.make(case, options.device, seed)
        for loss in case.losses:
            file = folder / f"{slug(case.name)}-{loss}.json"
            table = one(steps.ours(case, loss, data), options.device, file)
            print(f"{case.full_title}, {loss}: {file}\n{table}\n", flush=True)
    torch.set_float32_matmul_precision("highest")
    return 0


def one(step, device, file):
    """Writes the trace of some steps; their longest operators as text."""
    activities = [ProfilerActivity.CPU]
    activities += [ProfilerActivity.CUDA] if device == "cuda" else []
    step.both()
    with profile(activities=activities) as profiler:
        for _ in range(STEPS):
            with record_function("forward"):
                value = step.forward()
            if step.backward:
                with record_function("backward"):
                    step.backward(value)
        if device == "cuda":
            torch.cuda.synchronize()
    beside = file.with_suffix(".part")
    profiler.export_chrome_trace(str(beside))
    beside.replace(file)
    by = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
    return profiler.key_averages().table(sort_by=by, row_limit=8, max_name_column_width=40)
