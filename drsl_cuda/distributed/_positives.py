"""Distances and cosines of each query's positives, wherever they are (the ring's first pass)."""

import torch

from drsl_cuda.distributed._unit import unit

TILE = 2**22  # numbers in a block of differences


class Positives:
    """Of b queries with up to n positives each, n found from the labels (the host waits for it):

    columns   [b, n]      places in the whole batch, ascending for each query
    valid     [b, n]      False where a query has fewer
    distance  [.., b, n]  0 where not valid; cosine likewise

    Both come from the rows of the pair alone, d from their difference, so that equal rows have
    equal numbers whatever rank they are on: ties of y decide.
    """

    def __init__(self, problem, others, with_own=False):
        ranks, labels, gallery_labels = problem.ranks, problem.labels, problem.gallery_labels
        order = gallery_labels.sort(stable=True)
        begin = torch.searchsorted(order.values, labels)
        end = torch.searchsorted(order.values, labels, right=True)
        most, travels = self._sizes(end - begin, order, ranks)
        place = begin[:, None] + torch.arange(most, device=labels.device)
        self.valid = place < end[:, None]
        self.columns = order.indices[place.clamp(max=max(0, ranks.total - 1))]
        if problem.exclude is not None:
            self.valid &= ~problem.exclude.gather(1, self.columns)
        if with_own:  # but it is no reason to count
            self.valid &= others[:, None] > 0
        else:
            self.valid &= self.columns != problem.own[:, None]
        shape = (*problem.x.shape[:-1], most)
        self.distance = problem.rows.new_zeros(shape)
        self.cosine = problem.rows.new_zeros(shape)
        local = [(ranks.rank, problem.x)]
        for owner, block in ranks.blocks(problem.x) if travels else local:
            self._take(problem, ranks.starts[owner], problem.prepared(block)[0])

    @staticmethod
    def _sizes(entries, order, ranks):
        """The largest number of entries of a query's label, and whether a label is on two ranks."""
        if ranks.total == 0:
            return 0, False
        bounds = torch.tensor(ranks.starts[1:], device=entries.device)
        rank_of = torch.searchsorted(bounds, order.indices, right=True)
        split = (order.values[1:] == order.values[:-1]) & (rank_of[1:] != rank_of[:-1])
        most = torch.cat([entries, entries.new_tensor([0])]).max()
        return tuple(torch.stack([most, split.any().long()]).tolist())

    def inside(self, start, count, some=slice(None)):
        """Which positives are in a block [t, n], and their places there (0 for those that are not)."""
        place = self.columns[some] - start
        inside = self.valid[some] & (place >= 0) & (place < count)
        return inside, torch.where(inside, place, 0)

    def _take(self, problem, start, rows):
        if rows.shape[-2] == 0:
            return
        block_unit, x_unit = unit(rows)[0], unit(problem.rows)[0]
        queries, most = self.valid.shape
        size = max(1, TILE // max(1, most * problem.x.numel() // max(1, queries)))
        for first in range(0, queries, size):
            some = slice(first, first + size)
            inside, place = self.inside(start, rows.shape[-2], some)
            x, x_hat = (t[..., some, None, :] for t in (problem.rows, x_unit))
            distance = _length(x - rows[..., place, :])
            cosine = (x_hat * block_unit[..., place, :]).sum(-1).clamp(-1, 1)
            self.distance[..., some, :] += distance.masked_fill(~inside, 0)
            self.cosine[..., some, :] += cosine.masked_fill(~inside, 0)

    def scattered(self, values, tile):
        """values [.., t, n] at the positives' places in a tile [.., t, k], 0 elsewhere."""
        count = tile.distance.shape[-1]
        inside, place = self.inside(tile.start, count, tile.some)
        place = torch.where(inside, place, count)  # what is elsewhere falls off the end
        wide = tile.distance.new_zeros((*tile.distance.shape[:-1], count + 1))
        return wide.scatter_(-1, place.expand_as(values), values)[..., :count]


def _length(x):
    """|x| over the last dimension, whose squares may leave the range of its type."""
    peak = x.abs().amax(-1, keepdim=True)
    peak = torch.where(peak > 0, peak, 1)
    return torch.linalg.vector_norm(x / peak, dim=-1) * peak[..., 0]
