"""The learning rate: up in a line, then down a cosine. A function of where the run is, with no state."""

import math


def learning_rate(settings, steps_an_epoch, step, seconds):
    """Of step number `step`, counted from 0, after `seconds` of training.

    With max_seconds the run has come as far as its steps or its time say, whichever is more, so
    that it has ended its cosine when it is stopped.
    """
    total = settings.epochs * steps_an_epoch
    done = step / total
    if settings.max_seconds is not None:
        done = max(done, min(1.0, seconds / settings.max_seconds))
    warm = min(settings.warmup / settings.epochs, 1.0)
    if done < warm:
        return settings.lr * (0.1 + 0.9 * done / warm)
    rest = (done - warm) / (1 - warm) if warm < 1 else 1.0
    falling = 0.5 * (1 + math.cos(math.pi * rest))
    return settings.lr * (settings.final_lr + (1 - settings.final_lr) * falling)
