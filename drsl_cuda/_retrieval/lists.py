"""Who may match whom: what the operators are told beside features."""

import torch

from drsl_cuda._retrieval.operands import CHUNK


class Lists:
    def __init__(self, query_ids, query_cams, gallery_ids, gallery_cams, junk, distractors):
        query_ids = query_ids.contiguous()
        ids, order = gallery_ids.sort(stable=True)
        self.by_identity = order.to(torch.int32)
        self.begin = torch.searchsorted(ids, query_ids)
        self.end = torch.searchsorted(ids, query_ids, right=True)
        none = _is_one_of(query_ids, distractors) | _is_one_of(query_ids, junk)
        self.end = torch.where(none, self.begin, self.end)
        self.query_ids, self.junk = query_ids, _is_one_of(gallery_ids, junk)
        self.query_cams, self.gallery_cams = query_cams, gallery_cams

    def turns(self, most):
        """(queries with 1 to `most` entries of their identity, those with more).

        An identity's queries come side by side, so that the rows of their matches are read once.
        """
        order = self.query_ids.argsort(stable=True)
        count = (self.end - self.begin)[order]
        return order[(count > 0) & (count <= most)], order[count > most]

    def listed(self, norm2):
        """Infinite for entries that are in no list."""
        return norm2.masked_fill(self.junk, torch.inf)

    def cameras(self, rows):
        return (
            (None, None) if self.query_cams is None else (self.query_cams[rows], self.gallery_cams)
        )


def _is_one_of(ids, some):
    return torch.isin(ids, torch.tensor(some, dtype=torch.int64, device=ids.device))


def first_equal(gallery, norm2, width):
    """For each row the first of its tile with the same numbers, counted from the tile's first row.

    What is known of one is known of the other.
    """
    order = torch.arange(len(norm2))
    tile = order // width
    values, group = norm2.unique(return_inverse=True)
    key, group = (group + tile * len(values)).unique(return_inverse=True)
    first = torch.full_like(key, len(norm2)).scatter_reduce(0, group, order, "amin")[group]
    (later,) = (first != order).nonzero(as_tuple=True)
    for some in later.split(max(1, CHUNK // gallery.shape[1])):
        same = (gallery[some] == gallery[first[some]]).all(1)
        first[some[~same]] = some[~same]
    return (first - tile * width).to(torch.int32)
