"""One line that says where a series of runs is; where nobody looks, one line for each run."""

import shutil
import sys
import time


class Line:
    def __init__(self, runs, seconds_each, stream=None):
        """`seconds_each`: what each run is expected to take, in order."""
        self.stream = sys.stderr if stream is None else stream
        self.live = self.stream.isatty()
        self.runs, self.expected = runs, list(seconds_each)
        self.told = ""
        self.ratio = 1.0  # how much longer than expected runs take, as it turns out
        self.taken = self.planned = 0.0

    def begin(self, place, name):
        """Run number `place`, counted from 0."""
        self.place, self.name, self.started = place, name, time.perf_counter()

    def show(self, done, total, score):
        """`done` of `total` epochs, and the last mAP (None: not yet known)."""
        spent = time.perf_counter() - self.started
        left = max(0.0, self.expected[self.place] * self.ratio - spent)
        left += self.ratio * sum(self.expected[self.place + 1 :])
        known = "" if score is None else f"  mAP {100 * score:.1f} %"
        self.told = (
            f"run {self.place + 1} of {self.runs}: {self.name}, epoch {done} of {total}{known}, "
            f"about {clock(left)} left"
        )
        if self.live:
            width = shutil.get_terminal_size().columns - 1
            self.stream.write(f"\r{self.told[:width]}\x1b[K")
            self.stream.flush()

    def end(self):
        """A run is finished: its time tells how long the others will take."""
        self.taken += time.perf_counter() - self.started
        self.planned += self.expected[self.place]
        if self.planned > 0:
            self.ratio = self.taken / self.planned
        if not self.live:
            print(self.told, file=self.stream, flush=True)

    def clear(self):
        if self.live:
            self.stream.write("\r\x1b[K")
            self.stream.flush()


def clock(seconds):
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
