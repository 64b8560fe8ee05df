"""A backbone's weights from a file: published ones, or a checkpoint of this trainer."""

import pickle

import torch

_HEADS = ("fc.", "head.", "classifier.", "neck.")  # of what was trained before; not taken over
_WRAPPERS = ("model", "state_dict", "model_state_dict")
_SHOWN = 5


def read(path):
    """What torch.save wrote, tensors and plain types only. ValueError says what is wrong with it."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ValueError(f"{path} is a folder, not a file") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, KeyError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "it is cut short"
        raise ValueError(
            f"{path} cannot be read as a file of tensors and plain types: {reason}"
        ) from error


def load_weights(backbone, path):
    """Every weight of the backbone from the file; ValueError names what is missing or does not fit."""
    saved = read(path)
    for wrapper in _WRAPPERS:
        if isinstance(saved, dict) and isinstance(saved.get(wrapper), dict):
            saved = saved[wrapper]
    if not isinstance(saved, dict) or not any(torch.is_tensor(v) for v in saved.values()):
        raise ValueError(f"{path} must hold a dictionary of weights, got {type(saved).__name__}")
    saved = {key.removeprefix("module.").removeprefix("backbone."): v for key, v in saved.items()}
    wanted = backbone.state_dict()
    if "pos_embed" in wanted and "pos_embed" in saved:
        saved["pos_embed"] = _placed(saved["pos_embed"], backbone)
    missing = [key for key in wanted if key not in saved and not key.endswith("tracked")]
    wrong = [
        f"{key} is {list(saved[key].shape)} there, {list(wanted[key].shape)} here"
        for key in wanted
        if key in saved and saved[key].shape != wanted[key].shape
    ]
    unknown = [key for key in saved if key not in wanted and not key.startswith(_HEADS)]
    problems = [
        f"{what}: {', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''}"
        for what, names in (("missing", missing), ("shapes", wrong), ("unknown", unknown))
        if names
    ]
    if problems:
        raise ValueError(f"{path} does not fit the model: {'; '.join(problems)}")
    backbone.load_state_dict({key: saved.get(key, wanted[key]) for key in wanted})


def _placed(embedding, backbone):
    """A vision transformer's places [1, 1 + h·w, D], resampled from a square to the grid of here."""
    if embedding.shape == backbone.pos_embed.shape:
        return embedding
    from timm.layers import resample_abs_pos_embed

    grid = backbone.patch_embed.grid_size
    return resample_abs_pos_embed(embedding, list(grid), num_prefix_tokens=1)
