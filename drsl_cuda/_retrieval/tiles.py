"""A block of queries against the gallery, by an operator that goes tile by tile.

None of the choices made here changes a result, only what it costs.
"""

import torch

from drsl_cuda import _ops
from drsl_cuda._retrieval.lists import first_equal

BLOCK = 512  # queries at a time, or several times as many:
TILES = 32  # so many for a thread, as the last that ends is waited for,
BLOCK_NUMBERS = 2**24  # but not more than these, which are copied
HEIGHT = 512  # of a tile: queries. Fewer cost the library speed
TILE_BYTES = 8 * 2**20  # products of a thread
PART = 512  # terms of a float32 product that are added up in one go: the fewer, the less it is off


class Tiles:
    def __init__(self, query, gallery, operands, lists):
        self.query, self.gallery, self.operands, self.lists = query, gallery, operands, lists
        double = query.dtype == torch.float64
        self.parts = 1 if double else -(-query.shape[1] // PART)
        self.height, self.width = self.shape()
        tiles = -(-gallery.shape[0] // self.width)
        more = min(TILES * torch.get_num_threads() // tiles, BLOCK_NUMBERS // query[:BLOCK].numel())
        self.block = BLOCK * max(1, more)
        self.norm2 = lists.listed(operands.gallery_norm2)
        self.first_equal = first_equal(gallery, operands.gallery_norm2, self.width)

    def shape(self):
        """Queries and entries of a tile."""
        height = min(HEIGHT, self.query.shape[0])
        column = height * self.parts * self.query.element_size()
        return height, max(1, min(TILE_BYTES // column, self.gallery.shape[0]))

    def scores(self, block, limit):
        """(ap, inp, first) of these queries; first is -1 for one beyond the limit."""
        operands, lists = self.operands, self.lists
        x = self.query[block]
        return _ops.MATCH_TILES(
            x if operands.query is self.query else operands.query[block],
            operands.gallery,
            x,
            self.gallery,
            operands.query_norm2[block],
            self.norm2,
            self.first_equal,
            lists.by_identity,
            lists.begin[block],
            lists.end[block],
            *lists.cameras(block),
            operands.scale,
            operands.on_grid,
            self.parts,
            self.height,
            self.width,
            limit,
        )
