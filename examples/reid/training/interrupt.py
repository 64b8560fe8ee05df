"""Ctrl-C asks for an end at the next safe place; a second one ends at once."""

import os
import signal
import sys
import threading
import time

# Seconds within which a second signal is the first one, said again: torchrun hands its processes what
# the terminal has given them already, as soon as it gets to it.
_SAME, _SAME_IN_TORCHRUN = 0.3, 10.0


class Stopped(KeyboardInterrupt):
    """Training was asked to end, has saved its state, and says how to go on."""


class Interrupt:
    """with Interrupt() as interrupt: ... if interrupt.asked: save and leave. SIGTERM counts as well.

    Outside of the main thread signals cannot be caught, and it never asks.
    """

    def __init__(self, quiet=False):
        self.quiet, self.asked = quiet, False
        self._same = _SAME_IN_TORCHRUN if "TORCHELASTIC_RUN_ID" in os.environ else _SAME
        self._when = 0.0
        self._before = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._heard)
        return self

    def __exit__(self, *exception):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _heard(self, number, frame):
        now = time.monotonic()
        if self.asked and now - self._when > self._same:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        if not self.asked:
            self.asked, self._when = True, now
            if not self.quiet:
                print("\nfinishing this step; again to end at once", file=sys.stderr, flush=True)
