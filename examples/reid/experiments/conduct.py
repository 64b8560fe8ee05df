"""One run: a model trained with one loss from one seed, and what it scored after each epoch."""

import statistics
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from experiments import network
from training.features import extract
from training.loop import Trainer
from training.sampler import IdentitySampler
from training.settings import Settings

KEPT = ("mAP", "rank1", "mINP")
ID_ALONE = "id"  # no ranking loss: cross-entropy of the identities, which the others have as well


@dataclass(frozen=True)
class Outcome:
    curve: list  # [{"epoch", "seconds", "mAP", "rank1", "mINP"}], 0 is untrained
    step_ms: float  # mean of an epoch's steps, median over the epochs
    loss_ms: float  # of which the losses, forward and backward
    trainer: Trainer


def train(data, settings, *, on_epoch=lambda record: None, begin=lambda trainer: None):
    """To the end. `begin` is called with the trainer of the untrained model, on_epoch with each record."""
    made = network.build(settings.seed, len(data.train.identities.unique()))
    told = [lambda record, model: on_epoch(record)]
    trainer = Trainer(data, settings, callbacks=told, quiet=True, network=made)
    begin(trainer)
    curve = [point(0, 0.0, trainer.evaluate())]
    records = trainer.run()
    curve += [point(r["epoch"], r["elapsed"], r) for r in records if "mAP" in r]
    steps = [1e3 * r["seconds"] / r["steps"] for r in records]
    parts = [1e3 * r["seconds"] * r["loss_share"] / r["steps"] for r in records]
    return Outcome(curve, statistics.median(steps), statistics.median(parts), trainer)


def settings_of(
    loss, seed, per_batch, per_identity, epochs, *, options=None, id_loss=True, every=1
):
    """What all short runs have in common. An identity's pictures differ enough: nothing is augmented."""
    alone = loss == ID_ALONE
    return Settings(
        loss="triplet" if alone else loss, loss_weight=0.0 if alone else 1.0, id_loss=id_loss,
        loss_options=options or {}, seed=seed, per_batch=per_batch, per_identity=per_identity,
        epochs=epochs, evaluate_every=every, augment=False, lr=2e-3,
    )  # fmt: skip


def point(epoch, seconds, scores):
    return {"epoch": epoch, "seconds": seconds, **{name: scores[name] for name in KEPT}}


def steps_an_epoch(data, per_batch, per_identity):
    return len(IdentitySampler(data.train.identities, per_batch, per_identity))


def epochs_of_about(steps, data, per_batch, per_identity):
    """Whole epochs that come closest to so many steps: epochs of other batches have other lengths."""
    return max(1, round(steps / steps_an_epoch(data, per_batch, per_identity)))


def features(trainer, data):
    """(query, gallery, gallery before the neck) as arrays, lengths left as they are before the neck."""
    found = [extract(trainer.model, split) for split in (data.query, data.gallery)]
    found.append(extract(trainer.model, data.gallery, before_neck=True, unit=False))
    return [rows.numpy() for rows in found]


def stacked(split, height=64):
    """All images of a split, [N, 3, H, W] uint8, larger ones averaged down to about this height."""
    images, shrink = [], max(1, round(split[0].shape[-2] / height))
    for i in range(len(split)):
        image = split[i]
        if shrink > 1:
            image = F.avg_pool2d(image.float(), shrink).round().to(torch.uint8)
        images.append(image)
    return torch.stack(images).numpy()
