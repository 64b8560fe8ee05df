"""Which kernels a step launches, how often, for how long: by torch's profiler."""

import torch
from torch.profiler import ProfilerActivity, profile

STEPS = 3


def kernels(run):
    """[{"name", "ours", "launches", "us"}] of one step, longest first."""
    for _ in range(2):
        run()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        for _ in range(STEPS):
            run()
        torch.cuda.synchronize()
    found = [
        {
            "name": short_name(event.key),
            "ours": "drsl::" in event.key,
            "launches": event.count / STEPS,
            "us": event.self_device_time_total / STEPS,
        }
        for event in profiler.key_averages()
        if event.device_type == torch.autograd.DeviceType.CUDA
    ]
    return sorted(found, key=lambda kernel: -kernel["us"])


def short_name(name):
    """void drsl::cuda::turn_few<float, 4>(Task<float>) → turn_few<float, 4>."""
    name = name.removeprefix("void ").replace("drsl::cuda::", "").replace("drsl::", "")
    depth = 0
    for place, letter in enumerate(name):
        depth += (letter == "<") - (letter == ">")
        if letter == "(" and depth == 0 and place > 0 and not name[place:].startswith("(anonymous"):
            return name[:place].strip()[:120]
    return name[:120]
