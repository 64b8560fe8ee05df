"""Ctrl-C asks for an end at the next safe place; a second one ends at once."""

import signal
import sys
import threading
import time

_SAME = 1.0  # seconds: torchrun hands its processes the signal that the terminal gave them already


class Stopped(KeyboardInterrupt):
    """Training was asked to end, has saved its state, and says how to go on."""


class Interrupt:
    """with Interrupt() as interrupt: ... if interrupt.asked: save and leave. SIGTERM counts as well.

    Outside of the main thread signals cannot be caught, and it never asks.
    """

    def __init__(self, quiet=False):
        self.quiet, self.asked = quiet, False
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
        if self.asked and now - self._when > _SAME:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        if not self.asked:
            self.asked, self._when = True, now
            if not self.quiet:
                print("\nfinishing this step; again to end at once", file=sys.stderr, flush=True)
