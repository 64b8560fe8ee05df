"""The evaluation on native operators: a block of queries at a time, most of them tile by tile.

Products decide where they are beyond doubt, distances from differences where they are not
(csrc/cpu/count_tile.h). Queries with so many matches, or so many near ties, that differences would
cost more wait for whole rows of products in double precision.
"""

from contextlib import contextmanager

import torch

from drsl_cuda._retrieval.lists import Lists
from drsl_cuda._retrieval.operands import operands_of, rows_of
from drsl_cuda._retrieval.rows import Rows
from drsl_cuda._retrieval.tiles import Tiles

# Matches that a query may have, and near ties that it may measure, as a share of the gallery: beyond
# that a product in double precision is cheaper.
LIMIT, LIMIT_LEAST = 1 / 16, 64


def match_places(
    query, query_ids, query_cams, gallery, gallery_ids, gallery_cams, junk, distractors, report
):
    """(ap, inp, place of the first match, 0 without any) of each query."""
    total, entries = query.shape[0], gallery.shape[0]
    nan = torch.full((total,), torch.nan, dtype=torch.float64)
    results = nan, nan.clone(), torch.zeros(total, dtype=torch.int64)
    query, gallery, *norms2 = rows_of(query, gallery)
    if total == 0 or entries == 0:
        return results
    operands = operands_of(query, gallery, norms2)
    lists = Lists(query_ids, query_cams, gallery_ids, gallery_cams, junk, distractors)
    most = LIMIT_LEAST + int(LIMIT * entries)
    turns, waiting = lists.turns(most)
    done = total - len(turns) - len(waiting)

    def write(block, scores):
        nonlocal done
        for out, values in zip(results, scores, strict=True):
            out[block] = values
        done += len(block)
        if done < total:
            report(done, total)

    with _full_precision():
        if len(turns):
            tiles = Tiles(query, gallery, operands, lists)
            for block in turns.split(tiles.block):
                scores = tiles.scores(block, -1 if query.dtype == torch.float64 else most)
                fits = scores[2] >= 0
                waiting = torch.cat([waiting, block[~fits]])
                write(block[fits], [values[fits] for values in scores])
        if len(waiting):
            rows = Rows(query, gallery, lists)
            for block in waiting.split(rows.block):
                write(block, rows.scores(block))
    report(total, total)
    return results


@contextmanager
def _full_precision():
    """float32 products are float32: on some CPUs torch may be told to round them to bfloat16."""
    setting = torch.backends.mkldnn.matmul
    before = setting.fp32_precision
    setting.fp32_precision = "none"  # what it follows when it has no value of its own
    inherited = setting.fp32_precision
    setting.fp32_precision = "ieee"
    try:
        yield
    finally:
        setting.fp32_precision = "none" if before == inherited else before
