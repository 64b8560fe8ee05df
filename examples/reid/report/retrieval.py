"""Saved features as lists and pairs: who comes first for a query, how far positives and negatives are."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ranking:
    """One query: gallery places in order of distance, junk left out, and which of them are right."""

    order: np.ndarray  # gallery indices
    right: np.ndarray  # bool, alongside

    @property
    def ap(self):
        """Average precision; NaN without a match."""
        places = np.flatnonzero(self.right) + 1.0
        return float(np.mean(np.arange(1, len(places) + 1) / places)) if len(places) else np.nan


def distances(a, b):
    """[A, D], [B, D] → Euclidean [A, B] in float64."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    squares = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * (a @ b.T)
    return np.sqrt(np.maximum(squares, 0))


def pair_kinds(pictures, plan):
    """[Q, G] bool twice: which pairs match, and which are in the lists at all (docs/metrics.md)."""
    same = pictures.query_ids[:, None] == pictures.gallery_ids
    junk = (same & (pictures.query_cams[:, None] == pictures.gallery_cams)) | np.isin(
        pictures.gallery_ids, plan.junk_ids
    )
    return same & ~np.isin(pictures.gallery_ids, plan.distractor_ids) & ~junk, ~junk


def rankings(features, pictures, plan):
    """One Ranking a query."""
    far = distances(features.query, features.gallery)
    match, listed = pair_kinds(pictures, plan)
    made = []
    for row, hits, in_list in zip(far, match, listed, strict=True):
        order = np.argsort(row, kind="stable")
        order = order[in_list[order]]
        made.append(Ranking(order, hits[order]))
    return made


def split_distances(features, pictures, plan):
    """Distances of matching and of other pairs, in units of the mean distance of all."""
    far = distances(features.query, features.gallery)
    match, listed = pair_kinds(pictures, plan)
    scale = far[listed].mean()
    scale = scale if scale > 0 else 1.0
    return far[match] / scale, far[listed & ~match] / scale


def closer(positives, negatives):
    """The chance that a positive pair is closer than a negative one, ties half: 0.5 tells nothing apart."""
    low = np.sort(negatives)
    beaten = len(low) - np.searchsorted(low, positives, side="right")
    ties = np.searchsorted(low, positives, side="right") - np.searchsorted(low, positives)
    return float((beaten + ties / 2).mean() / max(len(low), 1))


@dataclass(frozen=True)
class Positives:
    """Pairs of gallery pictures of one identity, in the space that the loss sees."""

    distance: np.ndarray  # [N], in units of their mean
    angle: np.ndarray  # [N], degrees
    misplaced: float  # of two positives of a picture, how often the one closer by distance is wider in angle


def positives(features, pictures, plan):
    x = np.asarray(features.embedding, np.float64)
    ids = pictures.gallery_ids
    usable = ~np.isin(ids, [*plan.junk_ids, *plan.distractor_ids])
    apart, wide, wrong, all_pairs = [], [], 0, 0
    for identity in np.unique(ids[usable]):
        own = x[ids == identity]
        if len(own) < 2:
            continue
        length = np.maximum(np.linalg.norm(own, axis=1), 1e-30)
        cosine = np.clip(own @ own.T / length[:, None] / length, -1, 1)
        far = distances(own, own)
        upper = np.triu_indices(len(own), 1)
        apart.append(far[upper])
        wide.append(np.degrees(np.arccos(cosine[upper])))
        for q in range(len(own)):
            others = np.arange(len(own)) != q
            d, y = far[q, others], cosine[q, others]
            ahead = d[:, None] < d  # i is closer than j
            wrong += int((ahead & (y[:, None] < y)).sum())
            all_pairs += int(ahead.sum())
    if not apart:
        return None
    apart, wide = np.concatenate(apart), np.concatenate(wide)
    scale = apart.mean() if apart.mean() > 0 else 1.0
    return Positives(apart / scale, wide, wrong / max(all_pairs, 1))
