"""The protocol of person re-identification in plain NumPy, a query at a time, straight from the text."""

from types import SimpleNamespace

import numpy as np


def evaluate(
    query, query_ids, query_cams, gallery, gallery_ids, gallery_cams,
    junk_ids=(-1,), distractor_ids=(0,), max_rank=50,
):  # fmt: skip
    """Rows in float64; everything else as in drsl_cuda.metrics.evaluate."""
    ap, inp, first = [], [], []
    for q in range(len(query)):
        difference = gallery.astype(np.float64) - query[q].astype(np.float64)
        distance = np.sqrt((difference * difference).sum(1))
        precisions, places = [], []
        place = 0
        for k in np.argsort(distance, kind="stable"):
            same = gallery_ids[k] == query_ids[q]
            if gallery_ids[k] in junk_ids:
                continue
            if same and query_cams is not None and gallery_cams[k] == query_cams[q]:
                continue
            place += 1
            if same and gallery_ids[k] not in distractor_ids:
                places.append(place)
                precisions.append(len(places) / place)
        ap.append(np.mean(precisions) if places else np.nan)
        inp.append(len(places) / places[-1] if places else np.nan)
        first.append(places[0] if places else 0)
    ap, inp, first = np.array(ap), np.array(inp), np.array(first, dtype=np.int64)
    valid = first > 0
    cmc = np.full(max_rank, np.nan)
    if valid.any():
        cmc = np.array([(first[valid] <= r).mean() for r in range(1, max_rank + 1)])
    return SimpleNamespace(
        mAP=ap[valid].mean() if valid.any() else np.nan,
        mINP=inp[valid].mean() if valid.any() else np.nan,
        cmc=cmc, ap=ap, inp=inp, first_match=first, valid=valid,
    )  # fmt: skip
