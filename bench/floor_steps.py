"""The yardstick of a case, which every implementation pays for: products, a sort, a product.

a batch        X @ X.T forward, S @ X backward
a gallery      Q @ G.T forward, S @ G backward, and S.T @ Q where the gallery has a gradient
scores         one torch.sort of them
an evaluation  Q @ G.T
"""

import torch

PRODUCT_BYTES = 2**30  # a result beyond is formed in blocks of rows, the memory used again
NAMES = {
    "batch": "X @ X.T, S @ X",
    "gallery": "Q @ G.T, S @ G",
    "scores": "torch.sort",
    "evaluation": "Q @ G.T",
}


def name(case):
    return NAMES[case.kind] + (", S.T @ Q" if case.both_sides else "")


class Products:
    """In the type of the rows, results written where the block before had its own."""

    def __init__(self, queries, entries, gradients=True, both_sides=False):
        size, columns = queries.shape[-2], entries.shape[-2]
        block = max(1, min(size, PRODUCT_BYTES // (columns * queries.element_size())))
        self.queries, self.entries, self.block, self.both_sides = (
            queries,
            entries,
            block,
            both_sides,
        )
        # The last block of rows may be shorter: it is taken from further up, whole.
        self.starts = [min(first, size - block) for first in range(0, size, block)]
        rows = queries[..., :block, :]
        self.s = rows @ entries.mT
        self.gram = torch.empty_like(self.s)
        self.gradient = self.s @ entries if gradients else None
        self.other = self.s.mT @ rows if both_sides else None
        if not gradients:
            self.backward = None

    def forward(self):
        for first in self.starts:
            rows = self.queries[..., first : first + self.block, :]
            torch.matmul(rows, self.entries.mT, out=self.gram)

    def backward(self, _):
        for first in self.starts:
            torch.matmul(self.s, self.entries, out=self.gradient)
            if self.both_sides:
                rows = self.queries[..., first : first + self.block, :]
                torch.matmul(self.s.mT, rows, out=self.other)

    def both(self):
        self.forward()
        if self.backward:
            self.backward(None)


class Sort:
    backward = None

    def __init__(self, scores):
        self.scores = scores

    def forward(self):
        return torch.sort(self.scores)

    both = forward


def floor(case, data):
    if case.kind == "scores":
        return Sort(data.scores)
    if case.kind == "evaluation":
        return Products(data.query, data.gallery, gradients=False)
    return Products(
        data.x, data.x if data.gallery is None else data.gallery, both_sides=case.both_sides
    )
