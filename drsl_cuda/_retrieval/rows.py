"""A few queries against the whole gallery, by products in double precision."""

import torch

from drsl_cuda import _ops
from drsl_cuda._retrieval.lists import first_equal
from drsl_cuda._retrieval.operands import centre_of, converted, is_on_grid

BLOCK = 512  # queries that are multiplied together
BLOCK_BYTES = 256 * 2**20  # of products
COLUMN_NUMBERS = 2**22  # that are converted at a time


class Rows:
    def __init__(self, query, gallery, lists):
        self.query, self.gallery, self.lists = query, gallery, lists
        self.block = max(1, min(BLOCK, BLOCK_BYTES // (8 * gallery.shape[0])))
        norms2 = _ops.SQUARED_LENGTHS(query), _ops.SQUARED_LENGTHS(gallery)
        self.on_grid = is_on_grid(query, gallery, norms2, 53)
        self.centre = None if self.on_grid else centre_of(gallery)
        self.first_equal = first_equal(gallery, norms2[1], gallery.shape[0])

    def scores(self, block):
        """(ap, inp, first) of these queries."""
        x, lists = self.query[block], self.lists
        gram, x_norm2, norm2 = self._products(x)
        return _ops.MATCH_ROWS(
            gram, x, self.gallery, x_norm2, lists.listed(norm2), self.first_equal,
            lists.by_identity, lists.begin[block], lists.end[block], *lists.cameras(block),
            self.on_grid,
        )  # fmt: skip

    def _products(self, x):
        """[rows, G], and squared lengths of what is multiplied."""
        x = converted(x, self.centre, 1.0, torch.float64)
        entries = self.gallery.shape[0]
        gram, norm2 = x.new_empty(x.shape[0], entries), x.new_empty(entries)
        step = max(1, COLUMN_NUMBERS // x.shape[1])
        for first in range(0, entries, step):
            some = slice(first, first + step)
            columns = converted(self.gallery[some], self.centre, 1.0, torch.float64)
            torch.mm(x, columns.T, out=gram[:, some])
            norm2[some] = _ops.SQUARED_LENGTHS(columns)
        return gram, _ops.SQUARED_LENGTHS(x), norm2
