"""The training loop."""

import sys
import time
from pathlib import Path

import torch
from torch.nn.parallel import DistributedDataParallel

from training import batches, checkpoint, evaluation, losses, model, rng, state
from training.interrupt import Interrupt, Stopped
from training.log import Bar, Log, summary
from training.meter import Meter
from training.ranks import Ranks, device_of
from training.sampler import IdentitySampler
from training.schedule import learning_rate
from training.step import NotFinite, Step, optimizer_of, refuse_broken, refuse_not_finite

_LOOK = {
    "cpu": 1,
    "cuda": 16,
}  # steps between two looks at the numbers: the host waits for a GPU then


class Trainer:
    """Trains a model on data.train and evaluates it on data.query and data.gallery.

    data       a ReidData
    settings   Settings(...)
    folder     for last.pt, best.pt, log.jsonl; None: nothing is written
    callbacks  called as callback(record, model) after each epoch, on rank 0; or as callback.on_epoch
    resume     go on from folder/last.pt if there is one; without, a folder that has one is refused
    device     "auto", "cpu", "cuda"
    network    a model of your own in place of settings.model: images -> training.model.Output
    progress   a bar on stderr: True, False, or None where stderr is a terminal
    quiet      no line an epoch either

    >>> records = Trainer(data, Settings(loss="drsl", epochs=20), "runs/mine").run()

    On a CPU the same settings, data and number of threads give the same bits, interrupted or not,
    unless max_seconds is set.
    """

    def __init__(self, data, settings, folder=None, callbacks=(), *, resume=False, device="auto",
                 network=None, progress=None, quiet=False):  # fmt: skip
        self.data, self.settings = data, settings
        self.folder = None if folder is None else Path(folder)
        self.callbacks = [getattr(c, "on_epoch", c) for c in callbacks]
        self.device, self.ranks = device_of(device), Ranks()
        self.quiet = quiet or not self.ranks.first
        self.bar = Bar(False if self.quiet else progress)
        last = self.folder and self.folder / state.LAST
        if last and last.exists() and not resume:
            raise ValueError(f"{last} is of a run: --resume goes on with it, --out takes another")
        self._build(network)
        self.records, self.best = [], None
        self.epochs_done, self.elapsed = 0, 0.0
        self.meter = Meter()
        if last and last.exists():
            for warning in state.restore(self, last):
                self._say(f"warning: {warning}")
            self._say(f"going on from {last}: {self.epochs_done} epochs, {self.meter.steps} steps")

    def _build(self, network):
        settings, train = self.settings, self.data.train
        identities, self.labels = train.identities.unique(return_inverse=True)
        if len(identities) < 2:
            raise ValueError(f"train must have two identities or more, got {len(identities)}")
        self.classes = len(identities) if settings.id_loss else None
        self.size = tuple(train[0].shape[-2:])
        self.fingerprint = state.fingerprint(self.data)
        self.sampler = IdentitySampler(
            train.identities, settings.per_batch, settings.per_identity, seed=settings.seed,
            rank=self.ranks.rank, ranks=self.ranks.size,
        )  # fmt: skip
        rng.seed_all(settings.seed)
        if network is None:
            network = model.build(
                settings.model, classes=self.classes, weights=settings.weights, size=self.size
            )
        self.model = network.to(self.device).train()
        whole = self.model
        if self.ranks.size > 1:
            ids = [self.device.index] if self.device.type == "cuda" else None
            whole = DistributedDataParallel(whole, device_ids=ids)
        rng.seed_all(settings.seed + 1 + self.ranks.rank)  # dropout differs between ranks
        self.optimizer = optimizer_of(self.model, settings)
        criterion = losses.build(
            settings.loss, id_loss=settings.id_loss, loss_weight=settings.loss_weight,
            id_weight=settings.id_weight, smoothing=settings.label_smoothing, **settings.loss_options,
        )  # fmt: skip
        self.step = Step(whole, criterion, self.optimizer, settings, self.device)

    def run(self):
        """Trains to the end of the epochs or of the time; one record an epoch, earlier ones included."""
        log = Log(self.folder, self.records) if self.folder and self.ranks.first else None
        try:
            with Interrupt(quiet=not self.ranks.first) as self.interrupt:
                # an epoch that was begun is ended, if only with a step and its record
                while self.epochs_done < self.settings.epochs and (
                    self.meter.steps or not self._late()
                ):
                    self._train_epoch()
                    self._end_epoch(log)
        finally:
            if log:
                log.close()
        return self.records

    def evaluate(self):
        """{"mAP", "mINP", "rank1", "rank5", "rank10"} of the model as it is, on every rank."""
        found = None
        if self.ranks.first:
            try:
                with rng.untouched(self.device):
                    found = evaluation.evaluate(
                        self.model, self.data, workers=self.settings.workers
                    )
            except ValueError as error:
                raise NotFinite(f"evaluation after epoch {self.epochs_done}: {error}") from error
        return self.ranks.from_first(found)

    def _late(self):
        return self.settings.max_seconds is not None and self.elapsed >= self.settings.max_seconds

    def _train_epoch(self):
        """The steps of an epoch that are left of it."""
        every = 1 if self.settings.max_seconds else _LOOK[self.device.type]
        unread, started = [], time.perf_counter()
        self.step.watch.reset()
        for images, places in batches.loader(self.data.train, self.sampler, self.settings.workers):
            steps = self.meter.steps + len(unread)
            lr = learning_rate(
                self.settings, len(self.sampler), self.epochs_done * len(self.sampler) + steps,
                self.elapsed,
            )  # fmt: skip
            images = batches.prepared(images, places, self.settings, self.epochs_done, self.device)
            parts, pairs = self.step.forward(
                images,
                self.data.train.identities[places].to(self.device),
                self.labels[places].to(self.device),
            )
            unread.append((parts, len(places), pairs, lr))
            if len(unread) == every:
                self._read(unread)
            self.step.update(pairs, lr)
            if not unread:
                started = self._clock(started)
                if self.asked:
                    if self.folder:
                        self._save()
                    raise self._stopped()
                if self._late():
                    break
        self._read(unread)
        self._clock(started)
        self.bar.clear()

    def _read(self, unread):
        """Takes what steps reported into the meter; NotFinite if there is nothing to train on for."""
        for parts, images, pairs, lr in unread:
            values = dict(zip(parts, torch.stack(list(parts.values())).tolist(), strict=True))
            refuse_not_finite(values, pairs, self.epochs_done + 1, self.meter.steps + 1, lr)
            self.meter.add(values, images * self.ranks.size)
        unread.clear()

    def _clock(self, started):
        """Adds the time since `started`, and hears whether a rank is to stop; returns now."""
        loss_seconds = self.step.watch.seconds()  # waits for a GPU
        now = time.perf_counter()
        self.step.watch.reset()
        self.meter.seconds += now - started
        self.meter.loss_seconds += loss_seconds
        told = [self.elapsed + now - started, float(self.interrupt.asked)]
        self.elapsed, self.asked = self.ranks.largest(told, self.device)
        self.bar.show(
            self.epochs_done + 1, self.settings.epochs, self.meter.steps, len(self.sampler),
            self.meter.means(), self.meter.rate, self.meter.share,
        )  # fmt: skip
        return now

    def _stopped(self):
        self.bar.clear()
        if self.folder is None:
            return Stopped("stopped; without a folder nothing is saved")
        return Stopped(f"stopped; {self.folder / state.LAST} is saved: --resume goes on from there")

    def _end_epoch(self, log):
        refuse_broken(self.model, self.epochs_done + 1)
        self.epochs_done += 1
        final = self.epochs_done == self.settings.epochs or self._late()
        record = self._record(final)
        self.records.append(record)
        self.meter = Meter()
        self.sampler.set_epoch(self.epochs_done)
        self._keep(record, log)
        self._say(summary(record, self.settings.epochs))
        with rng.untouched(self.device):
            for callback in self.callbacks if self.ranks.first else ():
                callback(record, self.model)
        self.model.train()
        if not final and self.ranks.from_first(self.interrupt.asked):
            raise self._stopped()

    def _record(self, final):
        """What there is to say of the epoch that was trained, the same on all ranks."""
        meter, every = self.meter, self.settings.evaluate_every
        record = {
            "epoch": self.epochs_done, "steps": meter.steps, "images": meter.images,
            "lr": self.optimizer.param_groups[0]["lr"],
            "terms": self.ranks.mean(meter.means(), self.device),
            "seconds": meter.seconds, "images_per_second": meter.rate, "loss_share": meter.share,
            "elapsed": self.elapsed,
        }  # fmt: skip
        if final or (every and self.epochs_done % every == 0):
            start = time.perf_counter()
            record |= self.evaluate()
            record["evaluation_seconds"] = time.perf_counter() - start
        return self.ranks.from_first(record)  # times differ

    def _keep(self, record, log):
        """The log, the best model, the state; in this order, so that a state's epoch has the others."""
        better = "mAP" in record and (self.best is None or record["mAP"] > self.best["mAP"])
        if better:
            self.best = record
        if log:
            log.add(record)
        if self.folder:
            if better and self.ranks.first:
                state.save_best(self, self.folder / state.BEST, record)
            self._save()

    def _save(self):
        saved = state.capture(self)
        if self.ranks.first:
            checkpoint.save(self.folder / state.LAST, saved)

    def _say(self, text):
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)
