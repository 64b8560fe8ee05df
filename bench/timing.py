"""Times in turns: forward and backward of each step, one after the other, round by round.

On a GPU times are those between events. A write of four times the L2 comes before the first: it
throws out what an earlier call left there, and gives the host time to queue the call, so that a
graph's time is the device's alone. Calls that the host cannot queue so fast show what the host takes.
On a CPU the clock tells; `cold` overwrites the last-level cache before each call there too.
"""

import time
from pathlib import Path

import torch

WARM_UP, WARM_UP_SECONDS = 3, 0.5  # calls, or fewer if they take longer
AT_LEAST, AT_MOST = 5, 400  # rounds
LONG, VERY_LONG = 3.0, 60.0  # seconds a round takes, from which on three and one are enough


class Timer:
    def __init__(self, device):
        self.on_gpu = torch.device(device).type == "cuda"
        if self.on_gpu:
            cache = getattr(torch.cuda.get_device_properties(0), "L2_cache_size", 0) or 2**26
        else:
            cache = last_level_cache()
        self.cache = cache
        self.filler = torch.empty(
            4 * cache if self.on_gpu else 2 * cache, dtype=torch.uint8, device=device
        )

    def wait(self):
        if self.on_gpu:
            torch.cuda.synchronize()

    def warm_up(self, step):
        start = time.perf_counter()
        for _ in range(WARM_UP):
            step.both()
            self.wait()
            if time.perf_counter() > start + WARM_UP_SECONDS:
                break

    def once(self, step, cold=False):
        """A function that, after wait(), tells the milliseconds of (forward, backward)."""
        if self.on_gpu:
            return self._by_events(step)
        if cold:
            self.filler.add_(1)
        start = time.perf_counter()
        result = step.forward()
        middle = time.perf_counter()
        if step.backward:
            step.backward(result)
        end = time.perf_counter()
        return lambda: (1e3 * (middle - start), 1e3 * (end - middle))

    def _by_events(self, step):
        begin, middle, end = (torch.cuda.Event(enable_timing=True) for _ in range(3))
        self.filler.zero_()
        begin.record()
        result = step.forward()
        middle.record()
        if step.backward:
            step.backward(result)
        end.record()
        return lambda: (begin.elapsed_time(middle), middle.elapsed_time(end))

    def in_turns(self, steps, seconds, cold=False, ready=False):
        """{name: [(forward, backward), ...]} of {name: step}, for about so many seconds.

        ready: the steps have run already, so that long ones need not run once more for nothing.
        """
        if not ready:
            for step in steps.values():
                self.warm_up(step)
        taken = {name: [] for name in steps}
        start = time.perf_counter()
        rounds, least = 0, AT_LEAST
        while rounds < AT_MOST and (rounds < least or time.perf_counter() < start + seconds):
            tell = {name: self.once(step, cold) for name, step in steps.items()}
            self.wait()
            for name, milliseconds in tell.items():
                taken[name].append(milliseconds())
            rounds += 1
            each = (time.perf_counter() - start) / rounds
            least = 1 if each > VERY_LONG else 3 if each > LONG else AT_LEAST
        return taken

    def one_after_the_other(self, step, seconds):
        """Milliseconds a call by the host's clock, called again and again as in training."""
        self.warm_up(step)
        start, calls = time.perf_counter(), 0
        while calls < AT_LEAST or time.perf_counter() < start + seconds:
            step.both()
            calls += 1
        self.wait()
        return 1e3 * (time.perf_counter() - start) / calls


def last_level_cache():
    """Bytes of the CPU's, 32 MiB where Linux does not tell."""
    sizes = [32 * 2**20]
    for file in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = file.read_text().strip()
        unit = {"K": 2**10, "M": 2**20}.get(text[-1:], 1)
        sizes.append(int(text.rstrip("KM")) * unit)
    return min(max(sizes), 2**28)


def statistics(values):
    ordered = sorted(values)

    def quantile(share):  # between neighbours
        place = share * (len(ordered) - 1)
        low = int(place)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (place - low) * (ordered[high] - ordered[low])

    return {
        "median": quantile(0.5),
        "q1": quantile(0.25),
        "q3": quantile(0.75),
        "calls": len(ordered),
    }


def figures(pairs):
    """{"forward", "backward", "both"}: statistics of milliseconds."""
    forward, backward = zip(*pairs, strict=True)
    return {
        "forward": statistics(forward),
        "backward": statistics(backward),
        "both": statistics([sum(pair) for pair in pairs]),
    }


def ratios(pairs, floor_pairs):
    """Statistics of both / both of the floor in the same round."""
    return statistics([sum(a) / sum(b) for a, b in zip(pairs, floor_pairs, strict=True)])
