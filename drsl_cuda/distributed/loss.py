"""The losses over the ranks of torch.distributed, with the gradient of the one big batch."""

from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypeVar, overload

import torch
import torch.distributed as dist
from torch import Tensor

from drsl_cuda import _check, _ops
from drsl_cuda._autograd import _FirstDerivativeOnly
from drsl_cuda._backend import runs_natively
from drsl_cuda._types import Terms
from drsl_cuda.distributed._agree import agree, check_columns, check_mask
from drsl_cuda.distributed._gather import each, gather
from drsl_cuda.distributed._kinds import Kind, has_terms, kind_of
from drsl_cuda.distributed._ranks import Ranks
from drsl_cuda.distributed._ring import ring
from drsl_cuda.losses import EmbeddingLoss, LossWithTerms

Mode: TypeAlias = Literal["gather", "ring"]
MODES: tuple[Mode, ...] = ("gather", "ring")

Sizes: TypeAlias = list[int] | tuple[int, ...]
Loss = TypeVar("Loss", bound=EmbeddingLoss, covariant=True)


# fmt: off
@overload
def distributed_loss(
    loss: EmbeddingLoss, embeddings: Tensor, labels: Tensor, *,
    group: dist.ProcessGroup | None = None, mode: Mode = "gather",
    sizes: Sizes | None = None, even: bool = False, average: bool = True,
    exclude: Tensor | None = None, return_terms: Literal[False] = False,
) -> Tensor: ...
@overload
def distributed_loss(
    loss: LossWithTerms[Terms], embeddings: Tensor, labels: Tensor, *,
    group: dist.ProcessGroup | None = None, mode: Mode = "gather",
    sizes: Sizes | None = None, even: bool = False, average: bool = True,
    exclude: Tensor | None = None, return_terms: Literal[True],
) -> tuple[Tensor, Terms]: ...
@overload
def distributed_loss(
    loss: LossWithTerms[Terms], embeddings: Tensor, labels: Tensor, *,
    group: dist.ProcessGroup | None = None, mode: Mode = "gather",
    sizes: Sizes | None = None, even: bool = False, average: bool = True,
    exclude: Tensor | None = None, return_terms: bool,
) -> Tensor | tuple[Tensor, Terms]: ...
# fmt: on
def distributed_loss(
    loss: EmbeddingLoss,
    embeddings: Tensor,
    labels: Tensor,
    *,
    group: dist.ProcessGroup | None = None,
    mode: Mode = "gather",
    sizes: Sizes | None = None,
    even: bool = False,
    average: bool = True,
    exclude: Tensor | None = None,
    return_terms: bool = False,
) -> Tensor | tuple[Tensor, Any]:
    """The loss of the ranks' batches taken as one batch of G = Σ_r b_r rows.

    loss        DRSLLoss(...), FIDILoss(...), SmoothAPLoss(...) or BatchHardTripletLoss(...)
    embeddings  [b, D] or [S, b, D]: this rank's rows; b may differ between ranks and be 0
    labels      [b] integers
    group       a process group; None: the default one
    mode        "gather": each rank holds all G rows. "ring": O(b) rows, passed around; see below
    sizes       [b_0, b_1, ..]: the rows of every rank, where they are known
    even        every rank holds as many rows as this one
    average     the trainer takes the mean of the ranks' gradients, as DDP and FSDP do; False: the sum
    exclude     [b, G] bool: pairs to leave out, columns in the order of the ranks

    Returns the loss of the whole batch, the same number on every rank. Call backward on it on every
    rank: x_r.grad = W ∂loss/∂x_r, W the number of ranks (1 without `average`), so that the mean over
    ranks of the parameters' gradients is the gradient of one process with the whole batch. Backward
    itself does not communicate. return_terms: (loss, terms), of the whole batch too.

    With reduction "none" (mode "gather") the losses [.., b] are those of this rank's queries, and
    the gradient is that of the mean over ranks (the sum, without `average`, if the trainer sums) of
    what each rank made of them; there backward communicates, so every rank has to call it.

    By default ranks tell each other their sizes first, and check that they fit together: the host
    waits for that. With `sizes` or `even` it does not; then all ranks must fit, and all or none
    want a gradient. Mode "ring" waits for two numbers that depend on the labels besides.

    Without an initialised process group, and with one rank, this is loss(embeddings, labels).
    """
    ranks = _ranks(group)
    given = loss, embeddings, labels, exclude, mode, even, average, sizes, return_terms
    if ranks is None or ranks.size == 1:
        _checked(ranks, *given)
        call: Any = loss  # with terms, if it has any
        return call(embeddings, labels, exclude=exclude, return_terms=return_terms)
    kind, x, labels, want = _agreed(ranks, *given)
    if kind.reduction == "none":
        return each(loss, ranks, x, labels, exclude, return_terms)
    with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
        if mode == "gather":
            sums, gradient = gather(kind, ranks, x, labels, exclude, want)
        else:
            sums, gradient = ring(kind, ranks, x, labels, exclude, want)
        ranks.all_reduce(sums)
        share = 1 / sums[1].clamp(min=1) if kind.reduction == "mean" else torch.ones_like(sums[1])
        value, *terms = (sums[[0, 2, 3, 4]] * share).to(_ops.accumulation(x.dtype)).unbind()
        if want:
            gradient = gradient * (share * (ranks.size if average else 1)).to(gradient.dtype)
    value = _Attached.apply(x, value, gradient)
    return (value, kind.terms(terms)) if return_terms else value


class DistributedLoss(torch.nn.Module, Generic[Loss]):
    """A loss over the batches of all ranks, called with this rank's: distributed_loss as a module.

    >>> criterion = DistributedLoss(DRSLLoss())
    >>> loss = criterion(model(images), labels)      # model: DistributedDataParallel(...)
    >>> loss.backward()                              # DDP averages: the gradient of the whole batch
    """

    def __init__(
        self,
        loss: Loss,
        group: dist.ProcessGroup | None = None,
        mode: Mode = "gather",
        *,
        even: bool = False,
        average: bool = True,
    ) -> None:
        super().__init__()
        kind_of(loss)
        self.loss = loss
        self.group = group
        self.mode: Mode = _check.choice("mode", mode, MODES)
        self.even = _check.flag("even", even)
        self.average = _check.flag("average", average)

    @torch.compiler.disable
    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        *,
        sizes: Sizes | None = None,
        exclude: Tensor | None = None,
        return_terms: bool = False,
    ) -> Tensor | tuple[Tensor, Any]:
        loss: Any = self.loss  # with terms, if it has any
        return distributed_loss(
            loss,
            embeddings,
            labels,
            group=self.group,
            mode=self.mode,
            sizes=sizes,
            even=self.even,
            average=self.average,
            exclude=exclude,
            return_terms=return_terms,
        )

    if TYPE_CHECKING:
        # fmt: off
        @overload
        def __call__(
            self, embeddings: Tensor, labels: Tensor, *,
            sizes: Sizes | None = None, exclude: Tensor | None = None,
            return_terms: Literal[False] = False,
        ) -> Tensor: ...
        @overload
        def __call__(
            self: "DistributedLoss[LossWithTerms[Terms]]", embeddings: Tensor, labels: Tensor, *,
            sizes: Sizes | None = None, exclude: Tensor | None = None,
            return_terms: Literal[True],
        ) -> tuple[Tensor, Terms]: ...
        @overload
        def __call__(
            self: "DistributedLoss[LossWithTerms[Terms]]", embeddings: Tensor, labels: Tensor, *,
            sizes: Sizes | None = None, exclude: Tensor | None = None,
            return_terms: bool,
        ) -> Tensor | tuple[Tensor, Terms]: ...
        def __call__(self, *arguments: Any, **options: Any) -> Any: ...
        # fmt: on

    def extra_repr(self) -> str:
        return f"mode={self.mode!r}, even={self.even}, average={self.average}"


class _Attached(torch.autograd.Function):
    """A number, as a function of x whose gradient is at hand (in the accumulation type)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, value: Tensor, gradient: Tensor | None) -> Tensor:
        ctx.gradient = gradient
        ctx.save_for_backward(x)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, grad_value: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        gradient = (ctx.gradient * grad_value.detach()).to(x.dtype)
        if torch.is_grad_enabled():  # create_graph
            gradient = _FirstDerivativeOnly.apply("distributed loss", gradient, x, grad_value)
        return gradient, None, None


def _ranks(group: dist.ProcessGroup | None) -> Ranks | None:
    """The group, or None where there is none to speak of."""
    if not (dist.is_available() and dist.is_initialized()):
        if group is not None:
            raise ValueError("group must be None before init_process_group, got a group")
        return None
    if group == dist.GroupMember.NON_GROUP_MEMBER:  # type: ignore[comparison-overlap]
        raise ValueError("group must be one that this process belongs to, got one that it does not")
    if group is not None and not isinstance(group, dist.ProcessGroup):
        raise TypeError(f"group must be a process group or None, got {_check.kind(group)}")
    return Ranks(group)


def _agreed(
    ranks: Ranks,
    loss: EmbeddingLoss,
    embeddings: Tensor,
    labels: Tensor,
    exclude: Tensor | None,
    mode: Mode,
    even: bool,
    average: bool,
    sizes: Sizes | None,
    return_terms: bool,
) -> tuple[Kind, Tensor, Tensor, bool]:
    """Kind, checked rows and labels, whether a gradient is wanted; ranks knows its sizes then."""
    arguments = loss, embeddings, labels, exclude, mode, even, average, sizes, return_terms
    told = even is True or sizes is not None
    kind: Any = None
    x, error = embeddings, None
    try:
        kind, x, labels = _checked(ranks, *arguments)
    except (TypeError, ValueError) as raised:
        if told:
            raise
        error = raised
    want = error is None and torch.is_grad_enabled() and x.requires_grad
    if told:
        ranks.sizes = [x.shape[-2]] * ranks.size if sizes is None else list(sizes)
        check_columns(exclude, ranks)
    else:
        want = agree(ranks, x, exclude, want, f"{kind} {mode} {average}", error)
    return kind, x, labels.to(torch.int64), want


def _checked(
    ranks: Ranks | None,
    loss: EmbeddingLoss,
    embeddings: Tensor,
    labels: Tensor,
    exclude: Tensor | None,
    mode: Mode,
    even: bool,
    average: bool,
    sizes: Sizes | None,
    return_terms: bool,
) -> tuple[Kind, Tensor, Tensor]:
    kind = kind_of(loss)
    _check.choice("mode", mode, MODES)
    for name, value in (("even", even), ("average", average), ("return_terms", return_terms)):
        _check.flag(name, value)
    if return_terms and not has_terms(kind):
        raise ValueError(f"return_terms must be False, {type(loss).__name__} has no terms")
    if mode == "ring" and kind.reduction == "none":
        raise ValueError("reduction must be 'mean' or 'sum' in mode 'ring', got 'none'")
    x, labels, *_ = _check.embedding_problem(embeddings, labels)
    runs_natively(_ops.EMBEDDING_LOSS, x.device.type, kind.backend)
    if exclude is not None:
        check_mask(exclude, x)
    if sizes is not None:
        _check_sizes(sizes, even, ranks, x.shape[-2])
    return kind, x, labels


def _check_sizes(sizes: Sizes, even: bool, ranks: Ranks | None, mine: int) -> None:
    if even:
        raise ValueError("even must be False where sizes are given, got True")
    if not isinstance(sizes, (list, tuple)) or not all(type(n) is int for n in sizes):
        raise TypeError(f"sizes must be a list of integers, got {sizes!r}")
    count, rank = (1, 0) if ranks is None else (ranks.size, ranks.rank)
    if len(sizes) != count or min(sizes) < 0:
        raise ValueError(f"sizes must hold {count} numbers >= 0, one for each rank, got {sizes}")
    if sizes[rank] != mine:
        raise ValueError(f"sizes must hold {mine}, the rows given, at rank {rank}, got {sizes}")
