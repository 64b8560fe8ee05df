"""What a case is made of: random, the same for everyone who asks with the same seed."""

from typing import NamedTuple

import torch

STRAY = 64  # of clustered features, one in so many has no centre
IDENTITIES, CAMERAS = 750, 6  # of an evaluation


class Batch(NamedTuple):
    x: torch.Tensor  # [B, D] or [S, B, D]
    labels: torch.Tensor
    gallery: torch.Tensor | None = None
    gallery_labels: torch.Tensor | None = None


class Scores(NamedTuple):
    scores: torch.Tensor
    targets: torch.Tensor
    regression: torch.Tensor  # of the positives


class Retrieval(NamedTuple):
    query: torch.Tensor
    query_ids: torch.Tensor
    query_cams: torch.Tensor
    gallery: torch.Tensor
    gallery_ids: torch.Tensor
    gallery_cams: torch.Tensor


def make(case, device, seed):
    draw = {"generator": torch.Generator(device).manual_seed(seed), "device": device}
    return {
        "batch": _batch,
        "gallery": _gallery,
        "scores": _scores,
        "evaluation": _evaluation,
    }[case.kind](case, draw)


def _batch(case, draw):
    labels = torch.arange(case.size, device=draw["device"]) % case.classes
    x = torch.randn(case.sets, case.size, case.dim, **draw)
    if case.features == "clustered":
        centres = torch.randn(case.sets, case.classes, case.dim, **draw)
        stray = torch.arange(case.size, device=draw["device"]) % STRAY == STRAY - 1
        x = torch.where(stray[:, None], x, centres[:, labels] + 0.5 * x)
    x = x.to(case.torch_dtype)
    return Batch(x if case.sets > 1 else x[0], labels)


def _gallery(case, draw):
    x = torch.randn(case.size, case.dim, **draw).to(case.torch_dtype)
    gallery = torch.randn(case.gallery, case.dim, **draw).to(case.torch_dtype)
    labels = torch.arange(case.size, device=draw["device"]) // 4  # four images of each identity
    return Batch(
        x, labels, gallery, torch.arange(case.gallery, device=draw["device"]) % case.classes
    )


def _scores(case, draw):
    """Those of a detector: most entries negative, positives higher on average."""
    scores = torch.randn(case.size, **draw)
    targets = torch.zeros(case.size, device=draw["device"])
    chosen = torch.randperm(case.size, **draw)[: case.each]
    targets[chosen] = torch.rand(case.each, **draw).clamp(min=0.01)
    scores[chosen] += 1.0
    return Scores(scores, targets, torch.rand(case.each, **draw))


def _evaluation(case, draw):
    def features(count):
        ids = torch.randint(1, IDENTITIES + 1, (count,), **draw)
        return (
            torch.randn(count, case.dim, **draw).to(case.torch_dtype),
            ids,
            torch.randint(0, CAMERAS, (count,), **draw),
        )

    return Retrieval(*features(case.size), *features(case.gallery))
