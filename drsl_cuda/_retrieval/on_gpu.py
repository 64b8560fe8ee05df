"""The evaluation on a GPU: blocks of queries against tiles of the gallery, in whole numbers of 8 bits.

Features become whole numbers of three digits, whose products a library forms without rounding; what is
left out is bounded, and what the bound cannot decide is measured (csrc/core/fixed_point.h). A query with
too many matches, or near ties, is settled by whole rows of distances that are sorted. None of the choices
made here changes a result.
"""

import torch

from drsl_cuda import _ops
from drsl_cuda._retrieval.lists import Lists
from drsl_cuda._retrieval.operands import centre_of, rows_in_range
from drsl_cuda.reference import evaluate as reference

BLOCK = 2048  # queries at a time
WIDTH = 8192  # entries of a tile: its products are 12 bytes a pair
SLOTS = 2048  # matches that a query may have: the operator has no room for more
LIMIT, LIMIT_LEAST = 1 / 16, 64  # near ties that it may measure, as a share of the gallery
LONGEST = 43_680  # rows: the operator's sums of products would overflow


def match_places(
    query, query_ids, query_cams, gallery, gallery_ids, gallery_cams, junk, distractors, report
):
    """(ap, inp, place of the first match, 0 without any) of each query."""
    total, entries, device = query.shape[0], gallery.shape[0], query.device
    nan = torch.full((total,), torch.nan, dtype=torch.float64, device=device)
    results = nan, nan.clone(), torch.zeros(total, dtype=torch.int64, device=device)
    query, gallery, *norms2 = rows_in_range(query.contiguous(), gallery.contiguous())
    if total == 0 or entries == 0:
        return results
    lists = Lists(query_ids, query_cams, gallery_ids, gallery_cams, junk, distractors)
    turns, waiting = lists.turns(SLOTS if query.shape[1] <= LONGEST else 0)
    done = total - len(turns) - len(waiting)

    def write(block, scores):
        for out, values in zip(results, scores, strict=True):
            out[block] = values

    if len(turns):
        tiles = Tiles(query, gallery, norms2, lists, turns)
        given_up = []
        for block, scores in tiles.all(turns):
            write(block, scores)
            # waits for the block, while the next is under way
            given_up.append(block[scores[2] < 0])
            done += len(block) - len(given_up[-1])
            if done < total:
                report(done, total)
        waiting = torch.cat([waiting, *given_up])
    if len(waiting):
        write(waiting, _whole_rows(query, gallery, lists, waiting, junk, distractors, gallery_ids))
    report(total, total)
    return results


class Tiles:
    """The gallery as digits, and what the operator is told about a block of queries."""

    def __init__(self, query, gallery, norms2, lists, turns):
        self.query, self.gallery, self.lists = query, gallery, lists
        self.centre = centre_of(gallery)
        largest = max(float(norm2.max()) for norm2 in norms2) ** 0.5
        self.scale = 2.0 ** -torch.frexp(torch.tensor(largest, dtype=torch.float64)).exponent.item()
        self.digits, self.columns, self.rows = _ops.FIXED_POINT(
            gallery, self.centre, self.scale, True
        )
        listed = self.columns[: gallery.shape[0], 0]
        listed.masked_fill_(lists.junk, torch.inf)
        self.most = self.rows.amax(0)
        self.slots = int((lists.end - lists.begin)[turns].max())
        self.limit = LIMIT_LEAST + int(LIMIT * gallery.shape[0])

    def all(self, turns):
        """(block, scores) of one block after the other; the next is queued before one is handed out."""
        waiting = None
        for block in turns.split(BLOCK):
            queued = block, self.scores(block)
            if waiting is not None:
                yield waiting
            waiting = queued
        yield waiting

    def scores(self, block):
        """(ap, inp, first) of these queries; first is -1 for one that was given up."""
        lists = self.lists
        return _ops.MATCH_DIGITS(
            self.query[block], self.gallery, self.digits, self.columns, self.rows, self.most,
            self.centre, lists.by_identity, lists.begin[block], lists.end[block],
            *lists.cameras(block), self.scale, WIDTH, self.slots, self.limit,
        )  # fmt: skip


def _whole_rows(query, gallery, lists, waiting, junk, distractors, gallery_ids):
    """Any number of matches and near ties: all distances, sorted."""
    rows = query[waiting]
    cameras = lists.cameras(waiting)
    return reference.match_places(
        rows, lists.query_ids[waiting], cameras[0], gallery, gallery_ids, cameras[1], junk, distractors,
        lambda done, total: None, lambda some: _ops.EXACT_DISTANCES(rows[some], gallery),
    )  # fmt: skip
