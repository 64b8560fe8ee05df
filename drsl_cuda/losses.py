"""Losses as modules: parameters are checked once, the rest is drsl_cuda.functional."""

import torch

from drsl_cuda import _check, functional

__all__ = ["BatchHardTripletLoss", "DRSLLoss", "FIDILoss", "SmoothAPLoss"]


class EmbeddingLoss(torch.nn.Module):
    """What losses on embeddings share. A subclass names its function and adds its parameters."""

    _function = None
    _parameters_of_loss = ()

    def __init__(self, normalize=False, reduction="mean", backend="auto"):
        super().__init__()
        self.normalize = _check.flag("normalize", normalize)
        self.reduction = _check.choice("reduction", reduction, functional.REDUCTIONS)
        self.backend = _check.choice("backend", backend, functional.BACKENDS)

    def forward(
        self,
        embeddings,
        labels,
        gallery=None,
        gallery_labels=None,
        *,
        self_index=None,
        exclude=None,
        return_terms=False,
    ):
        return type(self)._function(
            embeddings,
            labels,
            gallery,
            gallery_labels,
            self_index=self_index,
            exclude=exclude,
            return_terms=return_terms,
            **self._options(),
        )

    def _options(self):
        names = (*self._parameters_of_loss, "normalize", "reduction", "backend")
        return {name: getattr(self, name) for name in names}

    def extra_repr(self):
        return ", ".join(f"{name}={value!r}" for name, value in self._options().items())


class DRSLLoss(EmbeddingLoss):
    """DRSL, reconstructed: rank positives ahead of negatives by distance, sort them by angle.

    >>> loss = DRSLLoss()(embeddings, labels)        # [B, D] features before the BN neck, [B]
    >>> loss.backward()

    A drop-in for a triplet loss: no miner, any number of positives per query. Parameters and the
    arguments of the call are those of drsl_cuda.functional.drsl_loss.
    """

    _function = staticmethod(functional.drsl_loss)
    _parameters_of_loss = ("delta", "rank_weight", "sort_weight", "angle_weight")

    def __init__(
        self,
        delta=0.5,
        rank_weight=1.0,
        sort_weight=1.0,
        angle_weight=1.0,
        normalize=False,
        reduction="mean",
        backend="auto",
    ):
        super().__init__(normalize, reduction, backend)
        self.delta = _check.number("delta", delta, low=0.0)
        self.rank_weight = _check.number("rank_weight", rank_weight)
        self.sort_weight = _check.number("sort_weight", sort_weight)
        self.angle_weight = _check.number("angle_weight", angle_weight)


class FIDILoss(EmbeddingLoss):
    """FIDI: pairs of one identity pulled together, all other pairs pushed apart, by distance.

    Parameters and the arguments of the call are those of drsl_cuda.functional.fidi_loss.
    """

    _function = staticmethod(functional.fidi_loss)
    _parameters_of_loss = ("alpha", "beta")

    def __init__(self, alpha=1.05, beta=0.5, normalize=False, reduction="mean", backend="auto"):
        super().__init__(normalize, reduction, backend)
        self.alpha = _check.number("alpha", alpha, low=1.0, low_open=True)
        self.beta = _check.number("beta", beta, low=0.0, low_open=True)


class SmoothAPLoss(EmbeddingLoss):
    """Smooth-AP: 1 - average precision by cosine, smoothed with a sigmoid.

    Parameters and the arguments of the call are those of drsl_cuda.functional.smooth_ap_loss.
    """

    _function = staticmethod(functional.smooth_ap_loss)
    _parameters_of_loss = ("temperature", "include_self")

    def __init__(
        self,
        temperature=0.01,
        include_self=False,
        normalize=False,
        reduction="mean",
        backend="auto",
    ):
        super().__init__(normalize, reduction, backend)
        self.temperature = _check.number("temperature", temperature, low=0.0, low_open=True)
        self.include_self = _check.flag("include_self", include_self)


class BatchHardTripletLoss(EmbeddingLoss):
    """Batch-hard triplet loss: the farthest positive against the nearest negative.

    Parameters and the arguments of the call are those of drsl_cuda.functional.batch_hard_triplet_loss.
    """

    _function = staticmethod(functional.batch_hard_triplet_loss)
    _parameters_of_loss = ("margin",)

    def __init__(self, margin=0.3, normalize=False, reduction="mean", backend="auto"):
        super().__init__(normalize, reduction, backend)
        self.margin = _check.margin(margin)
