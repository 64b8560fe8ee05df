"""A memory of what came in the steps before, to compare a batch with more than itself."""

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from drsl_cuda import _check

__all__ = ["Entries", "MemoryBank"]


class Entries(NamedTuple):
    """What a loss takes after embeddings and labels; self_index by its name."""

    gallery: Tensor  # [G, D] or [S, G, D]
    gallery_labels: Tensor  # [G]
    self_index: Tensor  # [B]


class MemoryBank(torch.nn.Module):
    """The last `size` embeddings and their labels, in a ring on the device of the module.

    >>> bank = MemoryBank(55_000)
    >>> gallery, gallery_labels, own = bank(embeddings, labels)       # stores them first
    >>> loss = criterion(embeddings, labels, gallery, gallery_labels, self_index=own)

    size         rows to remember
    dim          D, numbers in a row. Without it the first batch, or a state_dict, decides about D, sets
                 and device; until then the bank holds nothing
    sets         S for embeddings [S, B, D] (parts with the same labels), None for [B, D]
    dtype        of the stored rows. A loss promotes what it compares to one type, so that another one
                 than the embeddings' costs a converted gallery in each step
    label_dtype  of the stored labels; any type of integers goes in
    device       of the buffers; .to() moves them as it moves any module's

    Here the batch itself is in the gallery, without a gradient, and self_index says where, so that no
    query is its own positive. To compare it with the steps before alone, store it afterwards, when
    backward is done (what is stored changes the gallery in place). The first step asks for entries before
    there are any: give such a bank its dim.

    >>> gallery, gallery_labels = bank.entries()                       # [0, D] before the first step
    >>> criterion(embeddings, labels, gallery, gallery_labels).backward()
    >>> bank.store(embeddings, labels)

    A step copies its batch into place and nothing else: the gallery is a view of the rows that are
    filled. How many those are is an int on the host, so that no step waits for the device. A CUDA graph
    would repeat one position, and torch.compile compile for each: call the bank outside of them and
    give them what it returns. Position and rows are in state_dict.

    The same image, stored again in a later epoch, is one more positive of the query: self_index names
    only the copy of this step. A bank no larger than an epoch holds each image once or twice;
    clear() at the start of an epoch removes all of the old one. A row with NaN is remembered, too.
    """

    rows: Tensor  # [size, D] or [S, size, D]
    labels: Tensor  # [size]

    def __init__(
        self,
        size: int,
        dim: int | None = None,
        *,
        sets: int | None = None,
        dtype: torch.dtype = torch.float32,
        label_dtype: torch.dtype = torch.int64,
        device: torch.device | str | int | None = None,
    ) -> None:
        super().__init__()
        self.size = _count("size", size)
        self.dim = None if dim is None else _count("dim", dim)
        self.sets = None if sets is None else _count("sets", sets)
        if dim is None and sets is not None:
            raise ValueError(f"dim must be given where sets are, got None and {sets}")
        _one_of("dtype", dtype, _check.FLOATING)
        _one_of("label_dtype", label_dtype, _check.INTEGER)
        shape = (*(() if sets is None else (sets,)), self.size, self.dim or 0)
        self.register_buffer("rows", torch.zeros(shape, dtype=dtype, device=device))
        self.register_buffer("labels", torch.zeros(self.size, dtype=label_dtype, device=device))
        self._stored = 0

    @property
    def filled(self) -> int:
        """How many rows hold something: an int."""
        return min(self._stored, self.size)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Entries:
        """Stores the batch; Entries(gallery, gallery_labels, self_index), the batch among them."""
        own = self.store(embeddings, labels)
        return Entries(*self.entries(), own)

    if TYPE_CHECKING:  # what torch.nn.Module says of a call is Any

        def __call__(self, embeddings: Tensor, labels: Tensor) -> Entries: ...

    def entries(self) -> tuple[Tensor, Tensor]:
        """(gallery, gallery_labels) of what is filled: views, which the next store changes."""
        return self.rows[..., : self.filled, :], self.labels[: self.filled]

    @torch.no_grad()
    def store(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Writes embeddings [B, D] or [S, B, D] and labels [B] over the oldest rows.

        Returns self_index [B]: their columns. Of a batch larger than the bank the last `size` stay; the
        others get -1.
        """
        self._check(embeddings, labels)
        if self.dim is None:
            self._settle(embeddings.shape, embeddings.device)
        batch = labels.shape[0]
        lost = max(batch - self.size, 0)
        at = (self._stored + lost) % self.size
        first = min(batch - lost, self.size - at)  # up to the ring's end; the rest at its start
        for source, target, count in ((lost, at, first), (lost + first, 0, batch - lost - first)):
            if count > 0:
                rows = embeddings[..., source : source + count, :]
                self.rows[..., target : target + count, :].copy_(rows)
                self.labels[target : target + count].copy_(labels[source : source + count])
        own = torch.arange(self._stored, self._stored + batch, device=self.rows.device) % self.size
        own[:lost] = -1
        self._stored += batch
        return own

    def clear(self) -> None:
        """Forgets everything."""
        self._stored = 0

    def get_extra_state(self) -> dict[str, int]:
        return {"stored": self._stored}

    def set_extra_state(self, state: dict[str, int]) -> None:
        self._stored = state["stored"]

    def _settle(self, shape: torch.Size, device: torch.device) -> None:
        """Rows for embeddings or rows of this shape, [.., _, D]: the bank has not met any yet."""
        self.dim, self.sets = shape[-1], shape[0] if len(shape) == 3 else None
        self.rows = self.rows.new_zeros((*shape[:-2], self.size, self.dim), device=device)
        self.labels = self.labels.to(device)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *arguments: Any
    ) -> None:
        rows = state_dict.get(f"{prefix}rows")
        if self.dim is None and rows is not None and rows.shape[-1] > 0:
            self._settle(rows.shape, self.rows.device)
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    def extra_repr(self) -> str:
        sets = "" if self.sets is None else f"sets={self.sets}, "
        dim = "" if self.dim is None else f"{self.dim}, "
        return f"{self.size}, {dim}{sets}dtype={self.rows.dtype}, filled={self.filled}"

    def _check(self, embeddings: Tensor, labels: Tensor) -> None:
        _check.embedding_problem(embeddings, labels)
        shape = list(embeddings.shape)
        if self.dim is None:
            return
        if shape != [*self.rows.shape[:-2], shape[-2], self.dim]:
            sets = "" if self.sets is None else f"{self.sets}, "
            raise ValueError(f"embeddings must have shape [{sets}B, {self.dim}], got {shape}")
        if embeddings.device != self.rows.device:
            raise ValueError(
                f"embeddings must be on the device of the bank, {self.rows.device}, "
                f"got {embeddings.device}"
            )


def _count(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, got {type(value).__name__}")
    if value < 1:
        raise ValueError(f"{name} must be >= 1, got {value}")
    return value


def _one_of(name: str, value: torch.dtype, allowed: tuple[torch.dtype, ...]) -> None:
    if value not in allowed:
        listed = ", ".join(str(dtype).removeprefix("torch.") for dtype in allowed)
        raise TypeError(f"{name} must be one of {listed}, got {value}")
