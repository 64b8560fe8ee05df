"""What retrieval sees: the features of a split, computed or saved."""

import io
import zipfile

import numpy
import torch

from training.batches import loader
from training.checkpoint import write
from training.model import normalised

_SETS = ("query", "gallery")
_TOLD = ("junk_ids", "distractor_ids")


@torch.no_grad()
def extract(model, split, *, batch=256, device=None, workers=0, before_neck=False, unit=True):
    """[N, D] float32 on the CPU: features behind the neck, in the order of the split.

    before_neck  the embeddings that a ranking loss sees instead
    unit         scaled to length 1, so that Euclidean order is the order of angles
    """
    device = next(model.parameters()).device if device is None else device
    was_training = model.training
    model.eval()
    places = list(range(len(split)))
    lists = [places[i : i + batch] for i in range(0, len(places), batch)]
    rows = []
    try:
        for images, _ in loader(split, lists, workers):
            output = model(normalised(images.to(device)))
            rows.append((output.embedding if before_neck else output.features).float().cpu())
    finally:
        model.train(was_training)
    features = torch.cat(rows)
    return torch.nn.functional.normalize(features) if unit else features


def of_data(model, data, **options):
    """All that an evaluation needs, as read_features returns it."""
    found = {"junk_ids": tuple(data.junk_ids), "distractor_ids": tuple(data.distractor_ids)}
    for name in _SETS:
        split = getattr(data, name)
        found[name] = extract(model, split, **options)
        found[f"{name}_ids"], found[f"{name}_cams"] = split.identities, split.cameras
    return found


def save_features(path, found):
    """A .npz: query, query_ids, query_cams, gallery, ..., junk_ids, distractor_ids."""
    buffer = io.BytesIO()
    numpy.savez(buffer, **{key: numpy.asarray(value) for key, value in found.items()})
    write(path, buffer.getbuffer())


def read_features(path):
    """Of such a file, whoever wrote it; ValueError says what is missing or does not fit."""
    try:
        with zipfile.ZipFile(path):  # what is no .npz at all is refused here
            file = numpy.load(path, allow_pickle=False)
        with file:
            arrays = {key: file[key] for key in file.files}
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read as an .npz of plain arrays: {error}") from error
    wanted = [f"{name}{end}" for name in _SETS for end in ("", "_ids", "_cams")]
    missing = [key for key in wanted if key not in arrays]
    if missing:
        raise ValueError(f"{path} must hold {', '.join(wanted)}; it lacks {', '.join(missing)}")
    for name in _SETS:
        if arrays[name].ndim != 2:
            raise ValueError(
                f"{path}: {name} must have shape [N, D], got {list(arrays[name].shape)}"
            )
        for key in (f"{name}_ids", f"{name}_cams"):
            if arrays[key].shape != arrays[name].shape[:1]:
                raise ValueError(
                    f"{path}: {key} must have shape [{len(arrays[name])}], a number for each row "
                    f"of {name}, got {list(arrays[key].shape)}"
                )
    found = {key: torch.from_numpy(arrays[key]) for key in wanted}
    for key, default in zip(_TOLD, ((-1,), (0,)), strict=True):
        found[key] = tuple(arrays[key].tolist()) if key in arrays else default
    return found
