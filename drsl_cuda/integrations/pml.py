"""pytorch-metric-learning: the losses on embeddings as its loss functions. Needs that package.

    from drsl_cuda.integrations.pml import DRSLLoss

    loss_func = DRSLLoss()                      # or with distance=, reducer=, embedding_regularizer=
    loss_func(embeddings, labels)               # also indices_tuple, ref_emb, ref_labels
    loss_func(embeddings, labels, miner(embeddings, labels))

Each anchor that counts has one loss ("element" to reducers), so MeanReducer, the default, gives what
reduction="mean" gives. FIDI's is the mean over the anchor's pairs, where drsl_cuda means over all
pairs: the same unless a miner leaves anchors different numbers of them.

`indices_tuple`, triplets or pairs, says which pairs take part; what is positive is what the labels
say. All others are left out, also an anchor's own copy in a memory or in a gathered batch.

The distance is LpDistance(p=2), whose normalize_embeddings is our normalize, and CosineSimilarity for
SmoothAPLoss. By default embeddings are taken as they are: LpDistance(normalize_embeddings=False).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from torch import Tensor

from drsl_cuda import functional, losses
from drsl_cuda._types import Backend
from drsl_cuda.integrations._pml_pairs import Indices, Selection, select

try:
    from pytorch_metric_learning import losses as pml_losses
    from pytorch_metric_learning.distances import BaseDistance, CosineSimilarity, LpDistance
except ImportError as error:
    raise ImportError(
        f"drsl_cuda.integrations.pml needs pytorch-metric-learning ({error}): "
        "pip install pytorch-metric-learning"
    ) from error

__all__ = ["BatchHardTripletLoss", "CrossBatchMemory", "DRSLLoss", "FIDILoss", "SmoothAPLoss"]


class EmbeddingLoss(pml_losses.BaseMetricLossFunction):
    """What the losses share. A subclass names its function, its class, and when an anchor counts."""

    _function: ClassVar[Callable[..., Tensor]]
    _checked_by: ClassVar[type[losses.EmbeddingLoss]]  # the class in drsl_cuda.losses
    _distance: ClassVar[type[BaseDistance]] = LpDistance

    def __init__(self, parameters: dict[str, Any], backend: Backend, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        checked = self._checked_by(**parameters, backend=backend)  # raises where one does not fit
        self._parameters_of_loss = tuple(parameters)
        for name in (*parameters, "backend"):
            setattr(self, name, getattr(checked, name))
        self.add_to_recordable_attributes(list_of_names=list(parameters), is_stat=False)
        self._normalizes()

    def get_default_distance(self) -> BaseDistance:
        return LpDistance(normalize_embeddings=False)

    def compute_loss(
        self,
        embeddings: Tensor,
        labels: Tensor,
        indices_tuple: Indices | Selection | None,
        ref_emb: Tensor,
        ref_labels: Tensor,
    ) -> dict[str, dict[str, Any]]:
        """A dictionary for the reducer, with the losses [A] of the A anchors that count."""
        options = {name: getattr(self, name) for name in (*self._parameters_of_loss, "backend")}
        pairs = select(
            embeddings, labels, indices_tuple, ref_emb, ref_labels, own=self._uses_own_copy()
        )
        of_anchors = type(self)._function(
            *pairs.problem,
            self_index=pairs.self_index,
            exclude=pairs.exclude,
            normalize=self._normalizes(),
            reduction="none",
            **options,
        )
        anchors = self._counts(pairs.positive, pairs.negative).nonzero().squeeze(1)
        if len(anchors) == 0:  # 0, and attached to the graph
            return _loss(of_anchors.sum(), None, "already_reduced", 1)
        return _loss(of_anchors[anchors], anchors, "element", len(anchors))

    def _normalizes(self) -> bool:
        """Whether rows are scaled to unit length first, which the distance decides."""
        distance, wanted = self.distance, self._distance
        name = type(distance).__name__
        if type(distance) is not wanted:
            raise ValueError(f"distance must be {wanted.__name__} for this loss, got {name}")
        if distance.p != 2 or distance.power != 1:
            raise ValueError(
                "distance must have p=2 and power=1, "
                f"got {name}(p={distance.p}, power={distance.power})"
            )
        return wanted is LpDistance and bool(distance.normalize_embeddings)

    def _uses_own_copy(self) -> bool:
        return False

    @staticmethod
    def _counts(positive: Tensor, negative: Tensor) -> Tensor:
        """[B] bool: whether an anchor counts, of masks [B, G]."""
        return positive.any(1)


def _loss(
    values: Tensor, indices: Tensor | None, reduction_type: str, divisor: int
) -> dict[str, dict[str, Any]]:
    parts = {"losses": values, "indices": indices, "reduction_type": reduction_type}
    return {"loss": parts | {"divisor": divisor}}


class DRSLLoss(EmbeddingLoss):
    """drsl_cuda.DRSLLoss. It ranks by distance and sorts by angle: on unit vectors, twice the same."""

    _function = staticmethod(functional.drsl_loss)
    _checked_by = losses.DRSLLoss

    def __init__(
        self,
        delta: float = 0.5,
        rank_weight: float = 1.0,
        sort_weight: float = 1.0,
        angle_weight: float = 1.0,
        backend: Backend = "auto",
        **kwargs: Any,
    ) -> None:
        parameters = {
            "delta": delta,
            "rank_weight": rank_weight,
            "sort_weight": sort_weight,
            "angle_weight": angle_weight,
        }
        super().__init__(parameters, backend, **kwargs)


class FIDILoss(EmbeddingLoss):
    """drsl_cuda.FIDILoss. An anchor counts if it has any pair, and its loss is the mean over them."""

    _function = staticmethod(functional.fidi_loss)
    _checked_by = losses.FIDILoss

    def __init__(
        self, alpha: float = 1.05, beta: float = 0.5, backend: Backend = "auto", **kwargs: Any
    ) -> None:
        super().__init__({"alpha": alpha, "beta": beta}, backend, **kwargs)

    @staticmethod
    def _counts(positive: Tensor, negative: Tensor) -> Tensor:
        return (positive | negative).any(1)


class SmoothAPLoss(EmbeddingLoss):
    """drsl_cuda.SmoothAPLoss: any gallery, classes of any size.

    include_self=True is the SmoothAPLoss of pytorch-metric-learning 2.9 wherever that one takes the
    batch as it is meant: as many classes as samples of each, in order of class.
    """

    _function = staticmethod(functional.smooth_ap_loss)
    _checked_by = losses.SmoothAPLoss
    _distance = CosineSimilarity

    def __init__(
        self,
        temperature: float = 0.01,
        include_self: bool = False,
        backend: Backend = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            {"temperature": temperature, "include_self": include_self}, backend, **kwargs
        )

    def get_default_distance(self) -> BaseDistance:
        return CosineSimilarity()

    def _uses_own_copy(self) -> bool:
        return self.include_self


class BatchHardTripletLoss(EmbeddingLoss):
    """drsl_cuda.BatchHardTripletLoss. An anchor counts if it has a positive and a negative."""

    _function = staticmethod(functional.batch_hard_triplet_loss)
    _checked_by = losses.BatchHardTripletLoss

    def __init__(
        self, margin: float | None = 0.3, backend: Backend = "auto", **kwargs: Any
    ) -> None:
        super().__init__({"margin": margin}, backend, **kwargs)

    @staticmethod
    def _counts(positive: Tensor, negative: Tensor) -> Tensor:
        return positive.any(1) & negative.any(1)


class CrossBatchMemory(pml_losses.CrossBatchMemory):
    """The CrossBatchMemory of pytorch-metric-learning for its own losses and for these.

    With these it does not list all pairs [B · memory_size] unless there is a miner (an indices_tuple
    only adds to all pairs): it tells the loss which columns of the memory are the batch itself.
    """

    @staticmethod
    def supported_losses() -> list[str]:
        ours = (DRSLLoss, FIDILoss, SmoothAPLoss, BatchHardTripletLoss)
        return [*pml_losses.CrossBatchMemory.supported_losses(), *[loss.__name__ for loss in ours]]

    def create_indices_tuple(
        self,
        embeddings: Tensor,
        labels: Tensor,
        E_mem: Tensor,
        L_mem: Tensor,
        given: Indices | None,
        remove_self: bool,
    ) -> Indices | Selection:
        listed = partial(
            super().create_indices_tuple, embeddings, labels, E_mem, L_mem, given, remove_self
        )
        if not isinstance(self.loss, EmbeddingLoss):
            return listed()
        own = self.curr_batch_idx if remove_self else None
        return Selection(own, listed() if self.miner else None)
