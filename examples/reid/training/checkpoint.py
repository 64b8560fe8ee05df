"""Files that are either whole or not there, and what a checkpoint has to be."""

import io
import os
from contextlib import suppress
from pathlib import Path

import torch

from training.weights import read

FORMAT = 1


class WriteError(OSError):
    """A file could not be written; what was there before is still there."""


def write(path, data):
    """bytes → path: into a file beside it, onto the disk, then in place of the old one."""
    path = Path(path)
    beside = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(beside, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
        _sync_folder(path.parent)
    except OSError as error:
        kept = f"; the one written before is intact: {path}" if path.exists() else ""
        with suppress(OSError):
            beside.unlink()
        raise WriteError(
            f"cannot write {path} ({len(data):,} bytes): {error.strerror or error}{kept}"
        ) from error


def save(path, state):
    """A dictionary of tensors and plain types."""
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    write(path, buffer.getbuffer())


def load(path, needs=()):
    """What save wrote; ValueError says what is wrong with anything else. needs: keys it must have."""
    state = read(path)
    if not isinstance(state, dict) or "format" not in state:
        raise ValueError(f"{path} is not a checkpoint of this trainer")
    if state["format"] != FORMAT:
        raise ValueError(f"{path} has format {state['format']}, this trainer reads {FORMAT}")
    missing = [key for key in needs if key not in state]
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)}: it is no state to go on from")
    return state


def _sync_folder(folder):
    """The new name is on the disk as well."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
