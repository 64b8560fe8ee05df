"""All that a run depends on, checked once, saved in its checkpoint."""

import math
from dataclasses import asdict, dataclass, field, fields

from training import losses, model

OPTIMIZERS = ("adam", "sgd")


def _free(default):
    """A setting that may change from one sitting of a run to the next."""
    return field(default=default, metadata={"free": True})


@dataclass(frozen=True)
class Settings:
    """Every number of a run. Wrong ones: TypeError or ValueError, with the name of the setting.

    >>> Settings(loss="drsl", loss_options={"delta": 0.5}, epochs=20)
    """

    data: str = _free("")  # what data.load was told; the images themselves are compared on resume
    height: int | None = None  # of the images; None: the data set's own
    width: int | None = None
    data_seed: int = 0  # of data that are drawn or split by chance

    model: str = "small"  # "small", "resnet50", "vit_small"
    weights: str | None = None  # a file to start from

    loss: str = "drsl"  # "drsl", "fidi", "smooth_ap", "triplet"
    loss_options: dict = field(default_factory=dict)  # {"delta": 0.5, "normalize": True}
    loss_weight: float = 1.0
    id_loss: bool = False  # cross-entropy of the classifier behind the neck, as well
    id_weight: float = 1.0
    label_smoothing: float = 0.1

    epochs: int = 20
    per_batch: int = 16  # identities in a batch of one process
    per_identity: int = 4  # images of each
    augment: bool = True

    optimizer: str = "adam"  # "adam", "sgd" (momentum 0.9)
    lr: float = 1e-3
    weight_decay: float = 5e-4
    warmup: float = 1.0  # epochs from lr / 10 to lr
    final_lr: float = 0.01  # what is left of lr at the end of the cosine
    amp: bool = False
    max_seconds: float | None = None  # of training, evaluation left out; lr then follows the clock

    seed: int = 0
    workers: int = _free(0)  # processes that load images
    evaluate_every: int = _free(1)  # epochs; 0: after the last one only

    def __post_init__(self):
        object.__setattr__(self, "loss_options", dict(self.loss_options))
        for name in ("height", "width"):
            if getattr(self, name) is not None:
                _whole(name, getattr(self, name), 1)
        for name in ("epochs", "per_batch", "per_identity"):
            _whole(name, getattr(self, name), 1)
        for name in ("seed", "data_seed"):
            _whole(name, getattr(self, name), 0, 2**62)
        for name in ("workers", "evaluate_every"):
            _whole(name, getattr(self, name), 0)
        for name in ("loss_weight", "id_weight", "weight_decay", "warmup"):
            _number(name, getattr(self, name), 0.0)
        _number("lr", self.lr, 0.0, above=True)
        _number("label_smoothing", self.label_smoothing, 0.0, most=1.0)
        _number("final_lr", self.final_lr, 0.0, most=1.0)
        if self.max_seconds is not None:
            _number("max_seconds", self.max_seconds, 0.0, above=True)
        for name in ("id_loss", "augment", "amp"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be True or False, got {getattr(self, name)!r}")
        _choice("model", self.model, model.NAMES)
        _choice("optimizer", self.optimizer, OPTIMIZERS)
        _choice("loss", self.loss, losses.NAMES)
        losses.build(self.loss, **self.loss_options)  # says what is wrong with the options

    def to_dict(self):
        """Plain types only."""
        return asdict(self)

    @classmethod
    def from_dict(cls, saved):
        unknown = sorted(set(saved) - {f.name for f in fields(cls)})
        if unknown:
            raise ValueError(f"settings must be known ones, got {', '.join(unknown)} too")
        return cls(**saved)

    def differences(self, other):
        """["lr: 0.1 there, 0.2 here"] of what may not change in the middle of a run."""
        return [
            f"{f.name}: {getattr(other, f.name)!r} there, {getattr(self, f.name)!r} here"
            for f in fields(self)
            if not f.metadata.get("free") and getattr(self, f.name) != getattr(other, f.name)
        ]


def _whole(name, value, least, most=math.inf):
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    if value > most:
        raise ValueError(f"{name} must be at most {most}, got {value}")


def _number(name, value, least, above=False, most=math.inf):
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not (math.isfinite(value) and least <= value <= most) or (above and value == least):
        wanted = f"above {least:g}" if above else f"at least {least:g}"
        wanted += "" if most == math.inf else f" and at most {most:g}"
        raise ValueError(f"{name} must be a finite number {wanted}, got {value}")


def _choice(name, value, allowed):
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
