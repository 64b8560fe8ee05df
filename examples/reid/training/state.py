"""What a run is at one moment: all that makes the rest of it come out the same."""

import zlib

import torch

from training import checkpoint, rng
from training.settings import Settings

LAST, BEST = "last.pt", "best.pt"
_NEEDED = (
    "settings",
    "data",
    "ranks",
    "model",
    "optimizer",
    "scaler",
    "sampler",
    "rng",
    "progress",
)


def fingerprint(data):
    """Numbers that tell one data set from another, images included (three of them)."""
    train = data.train
    n = len(train)
    check = zlib.crc32(train.identities.to(torch.int64).contiguous().numpy().tobytes())
    for i in sorted({0, n // 2, n - 1}):
        check = zlib.crc32(train[i].contiguous().numpy().tobytes(), check)
    return {"name": data.name, "images": n, "shape": list(train[0].shape), "check": check}


def capture(trainer):
    """Called on every rank at the same step. Tensors and plain types; rng and meters of all ranks."""
    return {
        "settings": trainer.settings.to_dict(),
        "data": trainer.fingerprint,
        "ranks": trainer.ranks.size,
        "classes": trainer.classes,
        "size": list(trainer.size),
        "threads": torch.get_num_threads(),
        "device": trainer.device.type,
        "model": trainer.model.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
        "scaler": trainer.step.scaler.state_dict(),
        "sampler": trainer.sampler.state_dict(position=trainer.meter.steps),
        "rng": trainer.ranks.all(rng.state(trainer.device)),
        "meters": trainer.ranks.all(trainer.meter.state_dict()),
        "progress": {
            "epochs": trainer.epochs_done,
            "elapsed": trainer.elapsed,
            "best": trainer.best,
            "records": trainer.records,
        },
    }


def restore(trainer, path):
    """Puts a trainer where the checkpoint was; ValueError where it belongs to another run."""
    saved = checkpoint.load(path, _NEEDED)
    there = Settings.from_dict(saved["settings"])
    different = trainer.settings.differences(there)
    if saved["data"] != trainer.fingerprint:
        different.append(f"data: {_told(saved['data'])} there, {_told(trainer.fingerprint)} here")
    if saved["ranks"] != trainer.ranks.size:
        different.append(f"processes: {saved['ranks']} there, {trainer.ranks.size} here")
    if different:
        raise ValueError(f"{path} is of another run: {'; '.join(different)}")
    trainer.model.load_state_dict(saved["model"])
    trainer.optimizer.load_state_dict(saved["optimizer"])
    trainer.step.scaler.load_state_dict(saved["scaler"])
    trainer.sampler.load_state_dict(saved["sampler"])
    rng.restore(saved["rng"][trainer.ranks.rank], trainer.device)
    progress = saved["progress"]
    trainer.epochs_done, trainer.elapsed = progress["epochs"], progress["elapsed"]
    trainer.best, trainer.records = progress["best"], progress["records"]
    trainer.meter.load_state_dict(saved["meters"][trainer.ranks.rank])
    return [
        f"{name} was {was!r} and is {now!r}: numbers may differ in their last digits"
        for name, was, now in (
            ("threads", saved["threads"], torch.get_num_threads()),
            ("device", saved["device"], trainer.device.type),
        )
        if was != now
    ]


def save_best(trainer, path, record):
    """A model to use, and how good it is; no state to go on from."""
    checkpoint.save(
        path,
        {
            "settings": trainer.settings.to_dict(),
            "data": trainer.fingerprint,
            "classes": trainer.classes,
            "size": list(trainer.size),
            "model": trainer.model.state_dict(),
            "record": record,
        },
    )


def _told(data):
    shape = " x ".join(map(str, data["shape"]))
    return f"{data['name']} ({data['images']:,} images of {shape}, check {data['check']:08x})"
