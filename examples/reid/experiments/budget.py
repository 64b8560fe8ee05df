"""How many epochs fit: a machine is measured once, and then results do not depend on a clock."""

import time
from dataclasses import dataclass

from experiments.conduct import train

LEAST = 2


@dataclass(frozen=True)
class Cost:
    """Seconds on this machine, as one epoch took them."""

    epoch: float  # training
    evaluation: float
    start: float  # of a run: model, optimizer

    def run(self, epochs, evaluations):
        """`evaluations` counts the one of the untrained model."""
        return self.start + epochs * self.epoch + evaluations * self.evaluation

    def epochs_within(self, seconds, wanted, compared, others):
        """The most epochs, at most `wanted`, for `compared` runs that are evaluated after each epoch and
        `others` at the end only. Never less than LEAST, whatever it takes."""

        def total(epochs):
            return compared * self.run(epochs, epochs + 1) + others * self.run(epochs, 2)

        fitting = [epochs for epochs in range(LEAST, wanted + 1) if total(epochs) <= seconds]
        return max(fitting, default=min(LEAST, wanted))


def measure(data, settings):
    """The cost of one epoch with these settings; the model is thrown away."""
    start, taken = time.perf_counter(), {}
    train(data, settings, on_epoch=taken.update)
    whole = time.perf_counter() - start
    rest = whole - taken["seconds"] - 2 * taken["evaluation_seconds"]
    return Cost(taken["seconds"], taken["evaluation_seconds"], max(rest, 0.0))
