"""How good a retrieval is: the protocol of person re-identification, exact (docs/metrics.md)."""

import math
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from drsl_cuda import _check, _ops, _retrieval
from drsl_cuda._backend import runs_natively
from drsl_cuda._retrieval import on_gpu
from drsl_cuda._types import Backend, Identities
from drsl_cuda.reference import evaluate as reference

__all__ = ["Evaluation", "evaluate"]

Report: TypeAlias = Callable[[int, int], object]  # called with (done, all) queries

DISTRACTORS = (0,)  # in Market-1501 the identity of passers-by and of empty pictures


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What evaluate returns. Tensors are on the CPU, in float64 where they are not counts.

    Means are over the queries that count, those with a match in their list; NaN if none does.
    """

    mAP: float
    mINP: float
    cmc: Tensor  # [max_rank] cmc[r - 1]: share of queries with a match among the first r
    ap: Tensor  # [Q] average precision, NaN for a query that does not count
    inp: Tensor  # [Q] matches / place of the last one, likewise
    first_match: Tensor  # [Q] int64, place of the first match from 1 on; 0 for such a query
    valid: Tensor  # [Q] bool, whether the query counts

    def __str__(self) -> str:
        ranks = [r for r in (1, 5, 10, 20) if r <= len(self.cmc)]
        parts = [("mAP", self.mAP), ("mINP", self.mINP)]
        parts += [(f"rank-{r}", float(self.cmc[r - 1])) for r in ranks]
        shown = "  ".join(f"{name} {100 * value:.2f} %" for name, value in parts)
        return f"{shown}  ({int(self.valid.sum()):,} of {len(self.valid):,} queries count)"


def evaluate(
    query: Tensor,
    query_ids: Tensor,
    query_cams: Tensor | None,
    gallery: Tensor,
    gallery_ids: Tensor,
    gallery_cams: Tensor | None,
    *,
    junk_ids: Identities = (-1,),
    distractor_ids: Identities = DISTRACTORS,
    max_rank: int = 50,
    progress: bool | Report = False,
    backend: Backend = "auto",
) -> Evaluation:
    """mAP, mINP and CMC of queries against a gallery.

    query, gallery            [Q, D], [G, D] features, ordered by Euclidean distance as they are
    query_ids, gallery_ids    [Q], [G] integers: identities
    query_cams, gallery_cams  [Q], [G] integers: cameras, or None both
    junk_ids                  gallery entries of these identities are in no list
    distractor_ids            these identities never match. 0 is one in Market-1501: where identities
                              count from 0, pass () instead
    max_rank                  length of the CMC curve
    progress                  True: a line on stderr; or a function, called with (done, all) queries
    backend                   "auto", "native" or "reference"

    Entries with the query's identity and camera leave its list. Distances are those of double
    precision, whatever the type of the features; equal ones go by gallery index. A query without a
    match does not count. The Q x G matrix is never held, and Ctrl-C is heard between blocks of
    queries. Features that are not finite: ValueError.

    >>> result = evaluate(q, q_ids, q_cams, g, g_ids, g_cams)
    >>> print(result)    # mAP 87.31 %  mINP 62.04 %  rank-1 94.77 %  ...
    """
    problem = _check.evaluation_problem(
        query, query_ids, query_cams, gallery, gallery_ids, gallery_cams
    )
    junk = _check.identities("junk_ids", junk_ids)
    distractors = _check.identities("distractor_ids", distractor_ids)
    _check.whole("max_rank", max_rank, low=1)
    report = _reporter(progress)
    _warn_of_distractors(problem[1], distractors)
    run = _runner(problem[0].device.type, backend)
    with torch.no_grad():
        ap, inp, first = run(*problem, junk, distractors, report)
    return _summary(ap.cpu(), inp.cpu(), first.cpu(), max_rank)


def _warn_of_distractors(query_ids: Tensor, distractors: tuple[int, ...]) -> None:
    """By default 0 is one, as in Market-1501, which asks for none: whoever does counts from 0."""
    hopeless = int((query_ids == 0).sum()) if distractors == DISTRACTORS else 0
    if hopeless:
        warnings.warn(
            f"{hopeless} of {len(query_ids)} queries have identity 0, which by default matches nothing "
            "(distractor_ids=(0,)), and do not count: pass distractor_ids=() if it is like any other",
            stacklevel=3,
        )


def _runner(device: str, backend: Backend) -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    """Who finds the places."""
    operator, native = (
        (_ops.MATCH_DIGITS, on_gpu) if device == "cuda" else (_ops.MATCH_TILES, _retrieval)
    )
    return (native if runs_natively(operator, device, backend) else reference).match_places


def _summary(ap: Tensor, inp: Tensor, first: Tensor, max_rank: int) -> Evaluation:
    valid = first > 0
    count = int(valid.sum())
    # counts, so that no order of addition matters
    found = torch.bincount(first[valid].clamp(max=max_rank + 1), minlength=max_rank + 2)
    cmc = found[1 : max_rank + 1].cumsum(0).to(torch.float64) / count
    return Evaluation(
        mAP=_mean(ap[valid]),
        mINP=_mean(inp[valid]),
        cmc=cmc,
        ap=ap,
        inp=inp,
        first_match=first,
        valid=valid,
    )


def _mean(values: Tensor) -> float:
    """Rounded once: the same whatever the order, and whatever the number of threads."""
    return math.fsum(values.tolist()) / len(values) if len(values) else math.nan


def _reporter(progress: bool | Report) -> Report:
    """What is called with (done, all) after each block of queries."""
    if callable(progress):
        return progress
    return _Line() if _check.flag("progress", progress) else lambda done, total: None


class _Line:
    """One line on stderr, written anew at most ten times a second."""

    def __init__(self) -> None:
        self.start = time.monotonic()
        self.last = 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if done < total and now - self.last < 0.1:
            return
        self.last = now
        left = (now - self.start) * (total - done) / max(done, 1)
        end = "\n" if done == total else ""
        text = f"\revaluate: {done:,} of {total:,} queries, {left:,.0f} s left "
        sys.stderr.write(text + end)
        sys.stderr.flush()
