"""Other people's losses for the same job: a batch and its labels in, a loss over pairs or lists out.

pytorch-metric-learning 2.9.0: batch-hard triplet is ours to the letter with these settings; FastAP,
multi-similarity, contrastive and PNP are other losses over the same pairs. Its SmoothAPLoss takes the
number of classes for that of samples per class, so it computes Smooth-AP only where the two are equal,
in none of these cases. KeOps compiles Smooth-AP's sums from a formula and never holds its B³ terms.
"""

import torch

from bench.contenders import Contender, add
from bench.steps import Step, leaves_of

PML = "pytorch_metric_learning"


def _by_sets(criterion):
    """A loss of [B, D] over [S, B, D], as trainers with parts do it."""

    def call(x, labels, *rest):
        if x.dim() == 2:
            return criterion(x, labels, *rest)
        return torch.stack([criterion(part, labels, *rest) for part in x]).mean()

    return call


def _step(criterion, case, data):
    if case.kind == "batch":
        return Step(lambda x: criterion(x, data.labels), leaves_of(case, data))

    def call(x, gallery=data.gallery):
        return criterion(x, data.labels, None, gallery, data.gallery_labels)

    return Step(call, leaves_of(case, data))


def triplet(case, loss, data):
    from pytorch_metric_learning import distances, losses, miners, reducers

    plain = distances.LpDistance(normalize_embeddings=False)
    miner = miners.BatchHardMiner(distance=plain)
    criterion = losses.TripletMarginLoss(margin=0.3, distance=plain, reducer=reducers.MeanReducer())

    def mined(x, labels, _=None, *references):
        return criterion(x, labels, miner(x, labels, *references), *references)

    return _step(_by_sets(mined), case, data)


def _of_library(name):
    def build(case, loss, data):
        from pytorch_metric_learning import losses

        return _step(_by_sets(getattr(losses, name)()), case, data)

    return build


def _peer(name, title, build, loss, kinds=("batch",), **more):
    add(Contender(name, f"PML {title}", build, (loss,), kinds, needs=PML, **more))


BOTH = ("batch", "gallery")
_peer("pml-triplet", "batch-hard triplet", triplet, "triplet", BOTH)
_peer(
    "pml-multi-similarity",
    "multi-similarity",
    _of_library("MultiSimilarityLoss"),
    "drsl",
    BOTH,
    same=False,
)
_peer("pml-contrastive", "contrastive", _of_library("ContrastiveLoss"), "drsl", BOTH, same=False)
_peer("pml-fastap", "FastAP", _of_library("FastAPLoss"), "drsl", same=False)
_peer("pml-pnp", "PNP", _of_library("PNPLoss"), "drsl", same=False)

SATURATED = 40.0  # sigmoid of more is 1 to the last bit of float32


def keops(case, loss, data):
    """Smooth-AP: cosines by torch, sums over j of sigmoids by KeOps, a batch of queries."""
    from pykeops.torch import LazyTensor

    labels, size = data.labels, len(data.labels)
    own = torch.arange(size, device=labels.device)
    same = labels[:, None] == labels
    same[own, own] = False
    columns = same.nonzero()[:, 1].view(size, case.positives)

    def ahead(of, among):
        """[B, n]: 1 + Σ_j σ((c_j − c_i) / τ), itself counted as ½ by the sigmoid and as 1 by the loss."""
        z = (LazyTensor(among[:, None, :, None]) - LazyTensor(of[:, :, None, None])) / 0.01
        sigmoid = 1 / (1 + (-z.clamp(-SATURATED, SATURATED)).exp())
        return 0.5 + sigmoid.sum(dim=2)[..., 0]

    def call(x):
        unit = torch.nn.functional.normalize(x)
        cosine = (unit @ unit.T).masked_fill(torch.eye(size, dtype=torch.bool), -2.0)
        of = cosine.gather(1, columns)
        return 1 - (ahead(of, of) / ahead(of, cosine)).mean()

    return Step(call, leaves_of(case, data))


def _keops_refuses(case):
    return "one set at a time" if case.sets > 1 else None


add(
    Contender(
        "keops", "KeOps Smooth-AP", keops, ("smooth_ap",), ("batch",), needs="pykeops",
        compiles=True, refuses=_keops_refuses,
    )
)  # fmt: skip
