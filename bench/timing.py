"""Times in turns: device events, medians and quartiles, nothing left in the cache from the turn before.

On a GPU the time is that between two events around one call. A write of four times the L2 comes before
the first event: it throws out what an earlier call left there, and gives the host time to queue the
call, so that a graph's time is the device's alone. Calls that the host cannot queue so fast show
what the host takes.
"""

import time

import torch

WARM_UP, WARM_UP_SECONDS = 3, 0.5  # calls, or fewer if they take longer
AT_LEAST, AT_MOST = 3, 200


class Timer:
    def __init__(self, device):
        self.on_gpu = torch.device(device).type == "cuda"
        if self.on_gpu:
            l2 = getattr(torch.cuda.get_device_properties(0), "L2_cache_size", 0) or 2**26
            self.filler = torch.empty(4 * l2, dtype=torch.uint8, device=device)

    def wait(self):
        if self.on_gpu:
            torch.cuda.synchronize()

    def warm_up(self, function):
        start = time.perf_counter()
        for _ in range(WARM_UP):
            function()
            self.wait()
            if time.perf_counter() > start + WARM_UP_SECONDS:
                break

    def once(self, function):
        """A function that, after wait(), tells the milliseconds of one call."""
        if not self.on_gpu:
            start = time.perf_counter()
            function()
            taken = 1e3 * (time.perf_counter() - start)
            return lambda: taken
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self.filler.zero_()
        begin.record()
        function()
        end.record()
        return lambda: begin.elapsed_time(end)

    def in_turns(self, functions, seconds):
        """{name: statistics of milliseconds} of {name: function}, for about so many seconds."""
        for function in functions.values():
            self.warm_up(function)
        taken = {name: [] for name in functions}
        end = time.perf_counter() + seconds
        rounds = 0
        while rounds < AT_MOST and (rounds < AT_LEAST or time.perf_counter() < end):
            tell = {name: self.once(function) for name, function in functions.items()}
            self.wait()
            for name, milliseconds in tell.items():
                taken[name].append(milliseconds())
            rounds += 1
        return {name: statistics(values) for name, values in taken.items()}

    def one_after_the_other(self, function, seconds):
        """Milliseconds a call by the host's clock, called again and again as in training."""
        self.warm_up(function)
        start, calls = time.perf_counter(), 0
        while calls < AT_LEAST or time.perf_counter() < start + seconds:
            function()
            calls += 1
        self.wait()
        return 1e3 * (time.perf_counter() - start) / calls


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
