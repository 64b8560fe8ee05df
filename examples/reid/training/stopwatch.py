"""Time on the device that works: CUDA events, read when they are asked for; else the clock."""

import time

import torch


class Stopwatch:
    """with watch: ... as often as wanted; watch.seconds() is their sum since the last reset."""

    def __init__(self, device):
        self.cuda = device.type == "cuda"
        self.reset()

    def reset(self):
        self.total, self.pairs = 0.0, []

    def _now(self):
        if not self.cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def __enter__(self):
        self.start = self._now()

    def __exit__(self, *exception):
        if self.cuda:
            self.pairs.append((self.start, self._now()))
        else:
            self.total += self._now() - self.start

    def seconds(self):
        """Waits for the device where it is a GPU."""
        if self.pairs:
            self.pairs[-1][1].synchronize()
            self.total += sum(a.elapsed_time(b) for a, b in self.pairs) / 1000
            self.pairs = []
        return self.total
