"""What was built, and how a problem would be run: nothing here computes a loss."""

from typing import NamedTuple, TypedDict

import torch
from torch import Tensor

from drsl_cuda import _check, _ops
from drsl_cuda._backend import runs_natively
from drsl_cuda._types import Backend


class Explanation(NamedTuple):
    """How a call would be run."""

    path: str  # "triangle", "small", "in memory", "streaming", "empty", or "reference"
    why: str
    workspace_bytes: int | None  # beside inputs and results; None where torch decides
    block_rows: int | None  # queries handled together

    def __str__(self) -> str:
        size = (
            "unknown"
            if self.workspace_bytes is None
            else f"{self.workspace_bytes / 2**20:,.1f} MiB"
        )
        rows = "" if self.block_rows is None else f", {self.block_rows} rows at a time"
        return f"{self.path}: {self.why} (workspace {size}{rows})"


class BuildInfo(TypedDict):
    """What build_info returns."""

    version: str
    compiler: str  # "g++ 12.2.0"
    cuda: bool  # whether the library has kernels for GPUs
    cuda_archs: str  # and for which: "80;90"
    torch: str  # the one that runs now
    threads: int
    devices: list[str]  # those that losses on embeddings run on natively


def build_info() -> BuildInfo:
    """A dict: version, compiler, the torch that runs, whether and for which GPUs there are kernels."""
    info: BuildInfo = _ops.library.build_info()
    info["torch"] = torch.__version__
    info["threads"] = torch.get_num_threads()
    info["devices"] = sorted(_ops.DEVICES[_ops.EMBEDDING_LOSS])
    return info


def explain(
    embeddings: Tensor,
    labels: Tensor,
    gallery: Tensor | None = None,
    gallery_labels: Tensor | None = None,
    *,
    self_index: Tensor | None = None,
    exclude: Tensor | None = None,
    normalize: bool = False,
    backend: Backend = "auto",
) -> Explanation:
    """Which way any loss on embeddings would be computed, why, and with how much workspace."""
    x, labels, r, _, _, _ = _check.embedding_problem(
        embeddings, labels, gallery, gallery_labels, self_index, exclude
    )
    device = x.device.type
    if not runs_natively(_ops.EMBEDDING_LOSS, device, backend):
        why = "asked for" if backend == "reference" else f"this build has no kernel for {device}"
        return Explanation("reference", f"plain PyTorch: {why}", None, None)
    plan = _ops.library.plan(
        device=device,
        sets=x.shape[0] if x.dim() == 3 else 1,
        rows=x.shape[-2],
        columns=x.shape[-2] if r is None else r.shape[-2],
        dim=x.shape[-1],
        self=r is None,
        gradient=x.requires_grad or (r is not None and r.requires_grad),
        item=_ops.accumulation(x.dtype).itemsize,
        normalize=_check.flag("normalize", normalize),
    )
    return Explanation(plan["path"], plan["why"], plan["workspace_bytes"], plan["block_rows"])
