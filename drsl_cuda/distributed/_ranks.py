"""The ranks of a group: what each holds, rows gathered from all, rows sent around the ring.

Rank r holds b_r rows; "the whole batch" is the ranks' rows in the order of the ranks, G in all.
"""

import torch
import torch.distributed as dist

# Newer names of the same two collectives.
_all_gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
_reduce_scatter = getattr(dist, "reduce_scatter_single", None) or dist.reduce_scatter_tensor


class Ranks:
    """A group, this process's place in it, and how many rows each rank holds."""

    def __init__(self, group, sizes=None):
        self.group = group
        self.size = dist.get_world_size(group)
        self.rank = dist.get_rank(group)
        self.sizes = sizes

    @property
    def starts(self):
        """The place of each rank's first row in the whole batch, and G."""
        places = [0]
        for size in self.sizes:
            places.append(places[-1] + size)
        return places

    @property
    def total(self):
        return sum(self.sizes)

    def exchange(self, numbers, device):
        """The integers of every rank, a row each; the host waits for them."""
        mine = torch.tensor(numbers, dtype=torch.int64, device=device)
        everyone = mine.new_empty(self.size * len(numbers))
        _all_gather(everyone, mine, group=self.group)
        return everyone.view(self.size, -1).tolist()

    def all_reduce(self, value):
        dist.all_reduce(value, group=self.group)
        return value

    def gather(self, x):
        """x [.., b, D] or [b] of every rank -> [.., G, D] or [G]."""
        most = max(self.sizes)
        dim = min(x.dim() - 1, max(0, x.dim() - 2))
        x = x.movedim(dim, 0)
        if most == 0:
            return x.movedim(0, dim)
        everyone = x.new_empty((self.size * most, *x.shape[1:]))
        _all_gather(everyone, self._padded(x, most), group=self.group)
        if self.total < everyone.shape[0]:
            parts = everyone.split(most)
            everyone = torch.cat([p[:n] for p, n in zip(parts, self.sizes, strict=True)])
        return everyone.movedim(0, dim)

    def reduce_scatter(self, gradient):
        """[.., G, D] of every rank -> this rank's rows [.., b, D], summed over ranks."""
        most = max(self.sizes)
        rows = gradient.movedim(-2, 0)
        if most == 0:
            return gradient
        if self.total < self.size * most:
            rows = torch.cat([self._padded(part, most) for part in rows.split(self.sizes)])
        mine = rows.new_empty((most, *rows.shape[1:]))
        _reduce_scatter(mine, rows.contiguous(), group=self.group)
        return mine[: self.sizes[self.rank]].movedim(0, -2)

    @staticmethod
    def _padded(rows, most):
        if rows.shape[0] == most:
            return rows.contiguous()
        padded = rows.new_zeros((most, *rows.shape[1:]))
        padded[: rows.shape[0]] = rows
        return padded

    # ------------------------------------------------------------------------------- the ring

    def blocks(self, x):
        """(rank, its rows [.., b_rank, D]) of every rank, from this one backwards around the ring.

        While a block is in use, the next one is on its way.
        """
        block = x.contiguous()
        for step in range(self.size):
            owner = (self.rank - step) % self.size
            last = step == self.size - 1
            shift = None if last else self.shift(block, (owner - 1) % self.size)
            yield owner, block
            if not last:
                block = shift.wait()

    def shift(self, rows, owner):
        """Sends rows to the next rank, and receives those that belong to `owner` from the previous."""
        incoming = rows.new_empty((*rows.shape[:-2], self.sizes[owner], rows.shape[-1]))
        ahead, behind = (self._in_world((self.rank + step) % self.size) for step in (1, -1))
        moves = [(dist.isend, rows, ahead), (dist.irecv, incoming, behind)]
        operations = [
            dist.P2POp(move, tensor, peer, group=self.group)
            for move, tensor, peer in moves
            if tensor.numel() > 0
        ]
        works = dist.batch_isend_irecv(operations) if operations else []
        return _Shift(rows, incoming, works)

    def _in_world(self, rank):
        return rank if self.group is None else dist.get_global_rank(self.group, rank)


class _Shift:
    """A send and a receive under way; it keeps alive what is being sent."""

    def __init__(self, outgoing, incoming, works):
        self._outgoing, self._incoming, self._works = outgoing, incoming, works

    def wait(self):
        for work in self._works:
            work.wait()
        self._outgoing = None
        return self._incoming
