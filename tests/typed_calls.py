"""Calls of the package, for mypy: what it takes each result for, and what it must refuse.

This is not run. Where a line says `type: ignore`, an error is wanted, and its absence is one.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from typing_extensions import assert_type

import drsl_cuda
from drsl_cuda import DRSLTerms, FIDITerms, functional, metrics, reference
from drsl_cuda.distributed import DistributedLoss, distributed_loss
from drsl_cuda.integrations import mmdet, reid
from drsl_cuda.memory_bank import Entries

x, labels = torch.randn(8, 4), torch.arange(8) // 2
scores, targets = torch.randn(9), torch.ones(9)


def functions(flag: bool) -> None:
    assert_type(functional.drsl_loss(x, labels), Tensor)
    assert_type(functional.drsl_loss(x, labels, return_terms=False), Tensor)
    with_terms = functional.drsl_loss(x, labels, x, labels, reduction="none", return_terms=True)
    assert_type(with_terms, tuple[Tensor, DRSLTerms])
    either = functional.drsl_loss(x, labels, delta=0, return_terms=flag)
    assert_type(either, Tensor | tuple[Tensor, DRSLTerms])
    assert_type(functional.fidi_loss(x, labels, return_terms=True)[1].positive, Tensor)
    assert_type(functional.smooth_ap_loss(x, labels, temperature=1), Tensor)
    assert_type(functional.batch_hard_triplet_loss(x, labels, margin=None), Tensor)
    assert_type(functional.pairwise_distance_angle(x), tuple[Tensor, Tensor])
    assert_type(functional.rank_sort_loss(scores, targets), tuple[Tensor, Tensor])
    assert_type(functional.ap_loss(scores, targets, backend="native"), Tensor)
    assert_type(functional.alrp_loss(scores, targets, scores), tuple[Tensor, Tensor, Tensor])
    assert_type(reference.drsl_loss(x, labels), Tensor)
    assert_type(reference.fidi_loss(x, labels, return_terms=True), tuple[Tensor, FIDITerms])


def modules(flag: bool) -> None:
    assert_type(drsl_cuda.DRSLLoss()(x, labels), Tensor)
    assert_type(drsl_cuda.DRSLLoss()(x, labels, return_terms=True), tuple[Tensor, DRSLTerms])
    assert_type(drsl_cuda.DRSLLoss()(x, labels, return_terms=True)[1].angle, Tensor)
    assert_type(
        drsl_cuda.FIDILoss()(x, labels, return_terms=flag), Tensor | tuple[Tensor, FIDITerms]
    )
    assert_type(drsl_cuda.SmoothAPLoss(0.02, normalize=True)(x, labels), Tensor)
    assert_type(drsl_cuda.BatchHardTripletLoss(margin=None)(x, labels), Tensor)
    assert_type(drsl_cuda.RankSortLoss()(scores, targets), tuple[Tensor, Tensor])
    assert_type(drsl_cuda.APLoss()(scores, targets), Tensor)
    assert_type(drsl_cuda.ALRPLoss()(scores, targets, scores), tuple[Tensor, Tensor, Tensor])
    bank = drsl_cuda.MemoryBank(100, dim=4)
    assert_type(bank(x, labels), Entries)
    assert_type(bank.filled, int)
    gallery, gallery_labels, own = bank(x, labels)
    assert_type(drsl_cuda.DRSLLoss()(x, labels, gallery, gallery_labels, self_index=own), Tensor)


def the_rest(flag: bool) -> None:
    result = metrics.evaluate(x, labels, None, x, labels, None, distractor_ids=range(0))
    assert_type(result.mAP, float)
    assert_type(result.cmc, Tensor)
    metrics.evaluate(x, labels, labels, x, labels, labels, progress=lambda done, total: None)
    assert_type(drsl_cuda.build_info()["compiler"], str)
    assert_type(drsl_cuda.build_info()["devices"], list[str])
    assert_type(drsl_cuda.explain(x, labels).workspace_bytes, int | None)
    assert_type(drsl_cuda.__version__, str)

    ours, theirs = drsl_cuda.DRSLLoss(), drsl_cuda.SmoothAPLoss()
    assert_type(distributed_loss(ours, x, labels), Tensor)
    assert_type(distributed_loss(theirs, x, labels, mode="ring"), Tensor)
    assert_type(distributed_loss(ours, x, labels, return_terms=True), tuple[Tensor, DRSLTerms])
    assert_type(DistributedLoss(theirs)(x, labels, sizes=[8]), Tensor)
    assert_type(DistributedLoss(ours, mode="gather")(x, labels), Tensor)
    assert_type(DistributedLoss(ours)(x, labels, return_terms=True), tuple[Tensor, DRSLTerms])
    assert_type(DistributedLoss(ours).loss.delta, float)

    assert_type(mmdet.RankSort.apply(scores, targets), tuple[Tensor, Tensor])
    assert_type(reid.AsTriplet(ours)([x, x], labels), Sequence[Tensor])
    assert_type(reid.AsTripletFunction(ours)(x, labels, 0.3), Tensor)


def refused(text: str, anything: Any) -> None:
    drsl_cuda.DRSLLoss(reduction="average")  # type: ignore[arg-type]
    drsl_cuda.DRSLLoss(backend=text)  # type: ignore[arg-type]
    drsl_cuda.DRSLLoss(delta="0.5")  # type: ignore[arg-type]
    drsl_cuda.DRSLLoss(margin=0.5)  # type: ignore[call-arg]
    drsl_cuda.DRSLLoss()(x)  # type: ignore[call-overload]
    drsl_cuda.DRSLLoss()(x, [0, 1])  # type: ignore[call-overload]
    drsl_cuda.SmoothAPLoss()(x, labels, return_terms=True)  # type: ignore[arg-type]
    functional.drsl_loss(x, labels, reduction="max")  # type: ignore[call-overload]
    functional.smooth_ap_loss(x, labels, return_terms=True)  # type: ignore[arg-type]
    functional.fidi_loss(x, labels, None, None, None)  # type: ignore[call-overload]
    distributed_loss(drsl_cuda.DRSLLoss(), x, labels, mode="star")  # type: ignore[call-overload]
    DistributedLoss(drsl_cuda.DRSLLoss(), mode="star")  # type: ignore[arg-type]
    DistributedLoss(torch.nn.MSELoss())  # type: ignore[type-var]
    reid.AsTriplet(torch.nn.MSELoss())  # type: ignore[arg-type]
    metrics.evaluate(x, labels, None, x, labels, None, junk_ids=-1)  # type: ignore[arg-type]
    drsl_cuda.build_info()["compilers"]  # type: ignore[typeddict-item]
    drsl_cuda.MemoryBank("100")  # type: ignore[arg-type]
    functional.drsl_loss(x, labels, reduction=anything)  # what has no type is let pass
