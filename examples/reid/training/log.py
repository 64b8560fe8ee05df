"""What a run says about itself: one record an epoch, as a line of JSON, for TensorBoard, on the screen."""

import json
import math
import shutil
import sys
import time
from pathlib import Path

from training.checkpoint import WriteError, write

NAME = "log.jsonl"
TIMES = ("seconds", "images_per_second", "loss_share", "evaluation_seconds", "elapsed")
METRICS = ("mAP", "mINP", "rank1", "rank5", "rank10")


def line(record):
    """A record as JSON; NaN, which JSON does not have, is null."""
    return json.dumps(_without_nan(record)) + "\n"


def _without_nan(value):
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Log:
    """Appends to folder/log.jsonl, which begins with `records`: later lines of a run that was cut off go."""

    def __init__(self, folder, records):
        self.path = Path(folder) / NAME
        write(self.path, "".join(line(record) for record in records).encode())
        self.file = open(self.path, "a")
        self.board = _board(folder, len(records))

    def add(self, record):
        try:
            self.file.write(line(record))
            self.file.flush()
        except OSError as error:
            raise WriteError(f"cannot write {self.path}: {error.strerror or error}") from error
        if self.board:
            scalars = {**record, **record["terms"]}
            for name, value in scalars.items():
                if isinstance(value, (int, float)) and name != "epoch":
                    self.board.add_scalar(name, value, record["epoch"])
            self.board.flush()

    def close(self):
        self.file.close()
        if self.board:
            self.board.close()


def _board(folder, epochs):
    """A writer for TensorBoard, where it is installed; what came after `epochs` is not shown."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(Path(folder) / "tensorboard"), purge_step=epochs + 1)


def summary(record, epochs):
    """One epoch in one line for people."""
    terms = "  ".join(f"{name} {value:.4f}" for name, value in record["terms"].items())
    parts = [f"epoch {record['epoch']:>{len(str(epochs))}}/{epochs}", terms]
    if "mAP" in record:
        parts.append(
            f"mAP {100 * record['mAP']:.1f} %  rank-1 {100 * record['rank1']:.1f} %  "
            f"mINP {100 * record['mINP']:.1f} %"
        )
    parts.append(
        f"{record['images_per_second']:,.0f} images/s, loss {100 * record['loss_share']:.1f} % of time"
    )
    return "   ".join(parts)


class Bar:
    """One line on stderr, written anew at most ten times a second; nothing where nobody looks."""

    def __init__(self, wanted=None):
        self.wanted = sys.stderr.isatty() if wanted is None else wanted
        self.last = 0.0

    def show(self, epoch, epochs, done, steps, terms, images_per_second, share):
        now = time.monotonic()
        if not self.wanted or now - self.last < 0.1:
            return
        self.last = now
        filled = 20 * done // steps
        named = " ".join(f"{name} {value:.3f}" for name, value in terms.items())
        text = (
            f"{epoch}/{epochs} [{'#' * filled}{'.' * (20 - filled)}] {done}/{steps}  {named}  "
            f"{images_per_second:,.0f} images/s  loss {100 * share:.1f} % of time"
        )
        sys.stderr.write(f"\r{text[: shutil.get_terminal_size().columns - 1]}\x1b[K")
        sys.stderr.flush()

    def clear(self):
        if self.wanted:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
