"""What each ranking loss collects of a row that comes in blocks, and what it makes of it.

Notation of docs/losses.md: i a positive, x_ij = d_i − d_j, H the step, σ the sigmoid. A class has

  count(tile)          adds up what the row's entries in this tile contribute
  finish(counts)       the losses [.., b], terms [.., b, 3]; counts [b] says which queries count
  coefficients(tile)   ∂/∂d and ∂/∂cos of the sum of the losses, [.., t, k] each
"""

import torch

from drsl_cuda import _ops, reference

TILE = 2**18  # entries in work at a time: what a cache holds
ON_GPU = 16  # times as many there


def _chunks(at, v):
    """Positives at a time; shapes and kind of device decide, never free memory."""
    size = max(1, TILE * (ON_GPU if v.is_cuda else 1) // max(1, v.numel()))
    return [slice(i, i + size) for i in range(0, at.shape[-1], size)]


def _seen_from(at, v, weight, step):
    """Σ_k weight[.., k] step(at_i − v_k): at [.., b, n], v and weight [.., b, k] -> [.., b, n]."""
    sums = torch.zeros_like(at)
    for some in _chunks(at, v):
        x = at[..., some, None] - v[..., None, :]
        sums[..., some] = (step(x) * weight[..., None, :]).sum(-1)
    return sums


def _spread(weight, at, v, step):
    """Σ_i weight_i step(at_i − v_k): weight and at [.., b, n], v [.., b, k] -> [.., b, k]."""
    sums = torch.zeros_like(v)
    for some in _chunks(at, v):
        x = at[..., some, None] - v[..., None, :]
        sums += (step(x) * weight[..., some, None]).sum(-2)
    return sums


def _shares(valid, dtype):
    """1/n at each of n valid positives [b, n], 0 elsewhere."""
    return valid.to(dtype) / valid.sum(-1, keepdim=True).clamp(min=1)


class DRSLRows:
    """N_FP(i) of every positive; the terms among positives come from the operator rank_sort."""

    needs_positives = True

    def __init__(self, kind, rows, positives):
        self.kind, self.positives = kind, positives
        self.delta, *self.weights = kind.params
        self.ahead = torch.zeros_like(positives.distance)  # N_FP

    @staticmethod
    def own_is_positive(kind):
        return False

    def step(self, x):
        if self.delta == 0:
            return (x >= 0).to(x.dtype)
        width = max(2 * self.delta, torch.finfo(x.dtype).tiny)
        return (x / width).add_(0.5).clamp_(0, 1)

    def count(self, tile):
        at = self.positives.distance[..., tile.some, :]
        negative = tile.left & ~tile.same
        self.ahead[..., tile.some, :] += _seen_from(at, tile.distance, negative, self.step)

    def finish(self, counts):
        p = self.positives
        share = _shares(p.valid, p.distance.dtype)
        itself = 1.0 if self.delta == 0 else 0.5
        rank = _seen_from(p.distance, p.distance, p.valid, self.step) - itself + 1 + self.ahead
        rank = torch.where(p.valid, rank, 1)
        error = share * self.ahead / rank
        loss, terms, self.at_distance, self.at_cosine = self._among_positives()
        self.at_distance = self.at_distance + self.weights[0] * error
        self.to_negatives = -self.weights[0] * share / rank
        ranking = error.sum(-1)
        terms = torch.cat([ranking[..., None], terms[..., 1:]], -1)
        return loss + self.weights[0] * ranking, terms

    def _among_positives(self):
        """The loss of rows without negatives: sorting and angle, with their gradients."""
        p = self.positives
        labels, others = (
            p.columns.new_zeros(p.valid.shape[0]),
            p.columns.new_zeros(p.valid.shape[1]),
        )
        op, backend = _ops.RANK_SORT, self.kind.backend
        if backend != "reference" and p.distance.device.type in _ops.DEVICES[op]:
            params = [self.delta, 0.0, *self.weights[1:]]
            return op(p.distance, p.cosine, labels, others, None, ~p.valid, "drsl", params)
        options = {**self.kind.options, "rank_weight": 0.0}
        return reference.rank_sort(
            p.distance, p.cosine, labels, others, exclude=~p.valid, **options
        )

    def coefficients(self, tile):
        at, some = self.positives.distance[..., tile.some, :], tile.some
        negative = tile.left & ~tile.same
        to_all = _spread(self.to_negatives[..., some, :], at, tile.distance, self.step)
        by_distance = self.positives.scattered(self.at_distance[..., some, :], tile)
        by_cosine = self.positives.scattered(self.at_cosine[..., some, :], tile)
        return by_distance + to_all * negative, by_cosine


class SmoothAPRows:
    """By v = 1 − cos: N(i) = Σ_{j∈N} σ(x_ij/τ), and its slope, of every positive.

    rank = rank⁺ + N, loss = (1/n) Σ_i N / rank, and with α = rank⁺/rank², β = N/rank²

        n ∂/∂v_i = α_i Σ_{j∈N} σ'(x_ij) + Σ_{j∈P} (β_j − β_i) σ'(x_ij)          i∈P
        n ∂/∂v_j = −Σ_{i∈P} α_i σ'(x_ij)                                        j∈N
    """

    needs_positives = True

    def __init__(self, kind, rows, positives):
        self.positives = positives
        self.temperature = kind.params[0]
        self.v = 1 - positives.cosine
        self.ahead, self.steepness = torch.zeros_like(self.v), torch.zeros_like(self.v)

    @staticmethod
    def own_is_positive(kind):
        return kind.params[1] != 0

    def step(self, x):
        return (x / self.temperature).sigmoid_()

    def slope(self, x):
        step = self.step(x)
        return step * (1 - step) / self.temperature

    def count(self, tile):
        at, v = self.v[..., tile.some, :], 1 - tile.cosine
        ahead, steepness = (t[..., tile.some, :] for t in (self.ahead, self.steepness))
        negative = tile.left & ~tile.same
        for some in _chunks(at, v):
            step = self.step(at[..., some, None] - v[..., None, :])
            step *= negative[..., None, :]  # σ' is 0 where this is 0
            ahead[..., some] += step.sum(-1)
            steepness[..., some] += step.mul_(1 - step).sum(-1) / self.temperature

    def finish(self, counts):
        valid = self.positives.valid
        share = _shares(valid, self.v.dtype)
        among = _seen_from(self.v, self.v, valid, self.step) + 0.5  # σ(0) = ½, itself counts 1
        rank = torch.where(valid, among + self.ahead, 1)
        self.to_negatives = share * among / rank / rank
        later = share * self.ahead / rank / rank
        self.at_v = self.to_negatives * self.steepness
        self.at_v += _seen_from(self.v, self.v, later, self.slope)
        self.at_v -= later * _seen_from(self.v, self.v, valid, self.slope)
        loss = (share * self.ahead / rank).sum(-1)
        return loss, loss.new_zeros((*loss.shape, 3))

    def coefficients(self, tile):
        at, some, v = self.v[..., tile.some, :], tile.some, 1 - tile.cosine
        negative = tile.left & ~tile.same
        of_negatives = _spread(self.to_negatives[..., some, :], at, v, self.slope) * negative
        at_positives = self.positives.scattered(self.at_v[..., some, :], tile)
        return torch.zeros_like(v), of_negatives - at_positives


class BatchHardTripletRows:
    """The farthest positive and the nearest negative so far; of equal ones the lowest column."""

    needs_positives = False

    def __init__(self, kind, rows, positives):
        self.margin = kind.params[0] if kind.params else None
        shape = rows.shape[:-1]
        self.hardest = {  # d of the farthest positive and −d of the nearest negative, and where
            side: (rows.new_full(shape, -torch.inf), rows.new_full(shape, -1, dtype=torch.int64))
            for side in ("same", "other")
        }

    def count(self, tile):
        for side, mask, sign in (
            ("same", tile.same, 1),
            ("other", tile.left & ~tile.same, -1),
        ):
            value = (sign * tile.distance).masked_fill(~mask, -torch.inf)
            most = value.amax(-1)
            columns = torch.arange(value.shape[-1], device=value.device) + tile.start
            reached = mask & (value == most[..., None])
            where = torch.where(reached, columns, torch.iinfo(torch.int64).max).amin(-1)
            best, place = (t[..., tile.some] for t in self.hardest[side])
            better = (most > best) | ((most == best) & (where < place))
            better &= most > -torch.inf
            best.copy_(torch.where(better, most, best))
            place.copy_(torch.where(better, where, place))

    def finish(self, counts):
        farthest, nearest = self.hardest["same"][0], -self.hardest["other"][0]
        x = torch.where(counts, farthest - nearest, 0)
        if self.margin is None:
            loss, self.slope = torch.logaddexp(x, torch.zeros_like(x)), torch.sigmoid(x)
        else:
            loss = (x + self.margin).clamp(min=0)
            self.slope = (x + self.margin > 0).to(x.dtype)
        self.slope = self.slope * counts
        loss = loss * counts
        return loss, loss.new_zeros((*loss.shape, 3))

    def coefficients(self, tile):
        columns = torch.arange(tile.distance.shape[-1], device=tile.distance.device) + tile.start
        farther, nearer = (
            self.slope[..., tile.some, None] * (where[..., tile.some, None] == columns)
            for _, where in (self.hardest["same"], self.hardest["other"])
        )
        return farther - nearer, torch.zeros_like(tile.cosine)


ROWS = {"drsl": DRSLRows, "smooth_ap": SmoothAPRows, "batch_hard_triplet": BatchHardTripletRows}
