"""What a batch is charged with: a ranking loss before the neck, cross-entropy behind it."""

import inspect
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

import drsl_cuda
from drsl_cuda.distributed import DistributedLoss

_CLASSES = {
    "drsl": drsl_cuda.DRSLLoss,
    "fidi": drsl_cuda.FIDILoss,
    "smooth_ap": drsl_cuda.SmoothAPLoss,
    "triplet": drsl_cuda.BatchHardTripletLoss,
}
NAMES = tuple(_CLASSES)
_WITH_TERMS = ("drsl", "fidi")
_NOT_HERE = ("reduction", "backend")  # a trainer wants a mean, and the fast way


class Terms(NamedTuple):
    """A loss and what it is made of."""

    total: Tensor  # with a gradient
    parts: dict  # {name: 0-dim tensor}, detached: the unweighted losses and the terms of drsl, fidi


def options_of(name):
    """{option: default} of a loss."""
    known = inspect.signature(_CLASSES[name]).parameters
    return {key: p.default for key, p in known.items() if key not in _NOT_HERE}


def build(name, *, id_loss=False, loss_weight=1.0, id_weight=1.0, smoothing=0.1, **options):
    """A function of (output, identities, classes) that returns Terms.

    output              what a model of training.model returns for B images
    identities, classes [B] numbers of the data set, and the same counted from 0 for the classifier
    options             of the loss: delta, margin, normalize, ...

    Among several ranks the ranking loss is that of all ranks' batches as one, which must have the
    same size on each.
    """
    if name not in _CLASSES:
        raise ValueError(f"loss must be one of {', '.join(NAMES)}, got {name!r}")
    known = options_of(name)
    wrong = sorted(set(options) - set(known))
    if wrong:
        raise ValueError(f"{name} has no option {', '.join(wrong)}; it has {', '.join(known)}")
    ranking = DistributedLoss(_CLASSES[name](**options), even=True)
    with_terms = name in _WITH_TERMS

    def criterion(output, identities, classes):
        if with_terms:
            loss, terms = ranking(output.embedding, identities, return_terms=True)
            named = terms._asdict()
        else:
            loss, named = ranking(output.embedding, identities), {}
        total, parts = loss_weight * loss, {name: loss, **named}
        if id_loss:
            logits = output.logits.to(torch.promote_types(output.logits.dtype, torch.float32))
            parts["id"] = F.cross_entropy(logits, classes, label_smoothing=smoothing)
            total = total + id_weight * parts["id"]
        return Terms(total, {key: torch.detach(value) for key, value in parts.items()})

    return criterion
