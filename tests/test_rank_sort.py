"""One query's row → its loss and primary terms, from given distances and cosines.

Both sides get the same numbers, on grids where y = (1 + cos)/2 is exact in float32: no decision can
turn by rounding, so even hundreds of tied positives are compared across precisions.
"""

import numpy as np
import pytest
import torch

import oracle
from drsl_cuda import reference
from tolerances import CONTRACT, F32, F64, ZERO_SUM, assert_close

# (queries, entries, classes): short rows, tails of vectors, few and many positives a row.
SHAPES = {
    "tiny": (3, 4, 2),
    "one_entry": (2, 1, 1),
    "tail": (5, 67, 9),
    "positives_40": (4, 130, 3),
    "positives_300": (3, 700, 2),
    "all_positive": (3, 257, 1),
    "no_entries": (3, 0, 1),
    "no_queries": (0, 5, 1),
}
DELTAS = (0.0, 0.05, 0.5, 100.0)
WEIGHTS = (0.8, 1.5, 0.6)


def rows_of(name, seed=0, *, ties=True):
    """distance, cosine (float64, exact in float32), labels of queries and of entries."""
    queries, entries, classes = SHAPES[name]
    rng = np.random.default_rng((seed, entries))
    distance = rng.integers(0, 2**7 if ties else 2**20, (queries, entries)) / (
        2.0**5 if ties else 2.0**18
    )
    cosine = rng.integers(-(2**7), 2**7 + 1, (queries, entries)) / 2.0**7
    if not ties:
        cosine = np.argsort(rng.random((queries, entries)), axis=1) / 2.0**10  # all different
    return distance, cosine, rng.integers(0, classes, queries), rng.integers(0, classes, entries)


def native(
    distance, cosine, labels, gallery_labels, *, self_index=None, exclude=None, delta, weights
):
    return torch.ops.drsl.rank_sort(
        distance, cosine, labels, gallery_labels, self_index, exclude, "drsl", [delta, *weights]
    )


def in_reference(distance, cosine, labels, gallery_labels, *, delta, weights, **masks):
    named = dict(zip(("rank_weight", "sort_weight", "angle_weight"), weights, strict=True))
    return reference.rank_sort(
        distance, cosine, labels, gallery_labels, delta=delta, **named, **masks
    )


@pytest.fixture(params=[native, in_reference], ids=["native", "reference"])
def rank_sort(request):
    return request.param


def compare(
    rank_sort,
    dtype,
    device,
    distance,
    cosine,
    labels,
    gallery_labels,
    *,
    delta=0.5,
    weights=WEIGHTS,
    **masks,
):
    """Runs one implementation and the oracle on the same numbers."""
    wanted = oracle.rank_sort(
        distance,
        cosine,
        labels,
        gallery_labels,
        masks.get("self_index"),
        masks.get("exclude"),
        delta,
        weights,
    )

    def place(array, kind=None):
        return None if array is None else torch.as_tensor(array).to(device, kind)

    got = rank_sort(
        place(distance, dtype), place(cosine, dtype), place(labels), place(gallery_labels),
        **{name: place(mask) for name, mask in masks.items()}, delta=delta, weights=weights,
    )  # fmt: skip
    tolerance = CONTRACT[dtype].loss  # gradients too: nothing but sums of the same few numbers
    for what, mine, right in zip(
        ("loss", "terms", "grad_distance", "grad_cosine"), got, wanted, strict=False
    ):
        assert mine.dtype == dtype
        # Each query has a gradient of its own, whose size does not depend on the others'.
        for q in range(len(labels)):
            assert_close(
                mine[q],
                right[q],
                tolerance,
                floor=1e-7 if dtype == F32 else 1e-15,
                what=f"{what}[{q}]",
            )
    return got


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("delta", DELTAS)
@pytest.mark.parametrize("dtype", [F64, F32], ids=str)
@pytest.mark.parametrize("ties", [True, False], ids=["ties", "distinct"])
def test_rows_match_the_oracle(shape, delta, dtype, ties, rank_sort, device):
    compare(rank_sort, dtype, device, *rows_of(shape, ties=ties), delta=delta)


@pytest.mark.parametrize("positives", [1, 2, 3, 63, 64, 65, 127, 128, 129])
@pytest.mark.parametrize("negatives", [0, 1, 63, 65])
@pytest.mark.parametrize("delta", [0.0, 0.5])
def test_every_number_of_positives_matches_the_oracle(
    positives, negatives, delta, rank_sort, device
):
    # Around widths of vectors, and where sums over many positives begin to be formed another way.
    rng = np.random.default_rng((positives, negatives))
    labels = rng.permutation(np.repeat([0, 1], [positives, negatives]))
    distance = rng.integers(0, 2**7, (2, len(labels))) / 2.0**5
    cosine = rng.integers(-(2**7), 2**7 + 1, distance.shape) / 2.0**7
    compare(rank_sort, F64, device, distance, cosine, np.zeros(2, int), labels, delta=delta)


@pytest.mark.parametrize("entries", [80, 700])
@pytest.mark.parametrize("delta", [0.5, 0.01])
@pytest.mark.parametrize("spread", [1e3, 1e5, 1e7, 1e12])
@pytest.mark.parametrize("dtype", [F32, F64])
def test_distances_far_wider_than_the_step_keep_their_windows(
    spread, dtype, delta, entries, rank_sort, device
):
    # Clusters a step wide, far apart: a window is a small difference of large places.
    rng = np.random.default_rng(7)
    centres = spread * rng.random((3, 20)).astype(np.float32)
    near = rng.integers(0, 16, (3, entries)) / 16.0 * (2 * delta)
    distance = np.take_along_axis(centres, rng.integers(0, 20, near.shape), 1) + near
    distance = distance.astype(np.float32).astype(np.float64)
    cosine = np.argsort(rng.random(near.shape), axis=1) / 2.0**10
    labels, gallery_labels = np.zeros(3, np.int64), rng.integers(0, 2, entries)
    compare(rank_sort, dtype, device, distance, cosine, labels, gallery_labels, delta=delta)


@pytest.mark.parametrize("positives", [3, 140])
@pytest.mark.parametrize("dtype", [F32, F64], ids=str)
def test_neighbouring_numbers_are_told_apart(positives, dtype, rank_sort, device):
    # One unit in the last place between any two, and the hard step.
    rng = np.random.default_rng(10)
    distance = 1 + rng.permutation(2 * positives)[None] * torch.finfo(dtype).eps
    cosine = rng.integers(-64, 65, distance.shape) / 64.0
    labels, gallery_labels = np.zeros(1, int), np.arange(2 * positives) % 2
    compare(rank_sort, dtype, device, distance, cosine, labels, gallery_labels, delta=0.0)


@pytest.mark.parametrize("positives", [5, 140])
@pytest.mark.parametrize("delta", [0.0, 0.5])
def test_entries_may_come_in_any_order(positives, delta, rank_sort, device):
    # Whole stretches of far entries first, or last: what is left out must not be what counts.
    rng = np.random.default_rng(11)
    gallery_labels = (np.arange(positives + 300) >= positives).astype(int)
    distance = np.where(gallery_labels, 4 * np.sqrt(rng.random(len(gallery_labels))), 1)[None]
    distance = np.round((distance + 0.2 * rng.random(distance.shape)) * 2**16) / 2**16
    cosine = rng.integers(-64, 65, distance.shape) / 64.0
    for order in (np.argsort(distance[0]), np.argsort(-distance[0])):
        rows = distance[:, order], cosine[:, order]
        labels = np.zeros(1, int), gallery_labels[order]
        compare(rank_sort, F64, device, *rows, *labels, delta=delta)


@pytest.mark.parametrize("positives", [20, 140])
@pytest.mark.parametrize("delta", [0.0, 0.05, 0.5])
@pytest.mark.parametrize("dtype", [F32, F64], ids=str)
def test_positives_in_order_have_no_sorting_error(positives, delta, dtype, rank_sort, device):
    # What rounding leaves of a difference of equal sums is no error that anyone could see.
    rng = np.random.default_rng(12)
    distance = np.arange(positives) + 0.3 * rng.random(
        (1, positives)
    )  # none within a step of another
    distance = torch.as_tensor(distance, device=device).to(dtype)
    cosine = torch.linspace(1, -1, positives, dtype=dtype, device=device)[None]
    labels = torch.zeros(1, dtype=torch.int64, device=device)
    loss, terms, by_d, _ = rank_sort(
        distance, cosine, labels, labels.expand(positives), delta=delta, weights=(0.0, 1.0, 0.0)
    )
    allowed = CONTRACT[dtype].loss * terms[0, 2]  # of the error that the angles have
    assert allowed > 0
    assert terms[0, 1].abs() <= allowed and loss.abs() <= allowed
    assert by_d.abs().sum() <= 4 * allowed


@pytest.mark.parametrize("exponent", [-100, -30, 30, 100])
@pytest.mark.parametrize("delta", [0.0, 0.5])
@pytest.mark.parametrize("dtype", [F64, F32], ids=str)
@pytest.mark.parametrize("shape", ["tail", "positives_300"])
def test_the_unit_of_distances_does_not_matter(shape, dtype, delta, exponent, rank_sort, device):
    # Powers of two, and the step as wide as before: every number of every sum is the same.
    distance, cosine, *labels = (torch.as_tensor(part, device=device) for part in rows_of(shape, 9))
    scale = 2.0**exponent
    plain, scaled = (
        rank_sort(
            (distance * by).to(dtype), cosine.to(dtype), *labels, delta=delta * by, weights=WEIGHTS
        )
        for by in (1.0, scale)
    )
    for mine, same in zip(scaled, plain, strict=True):
        assert torch.equal(mine, same)


@pytest.mark.parametrize(
    "weights", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.0, 0.0, 0.0)], ids=str
)
@pytest.mark.parametrize("shape", ["tail", "positives_300"])
def test_each_term_has_a_gradient_of_its_own(shape, weights, rank_sort, device):
    compare(rank_sort, F64, device, *rows_of(shape, 1), weights=weights)


@pytest.mark.parametrize("shape", ["tail", "positives_40", "positives_300"])
@pytest.mark.parametrize("delta", [0.0, 0.5])
def test_masks_match_the_oracle(shape, delta, rank_sort, device):
    distance, cosine, labels, gallery_labels = rows_of(shape, 2)
    rng = np.random.default_rng(3)
    self_index = rng.integers(-1, distance.shape[1], len(labels))
    exclude = rng.random(distance.shape) < 0.4
    exclude[0] = True
    got = compare(
        rank_sort, F64, device, distance, cosine, labels, gallery_labels,
        delta=delta, self_index=self_index, exclude=exclude,
    )  # fmt: skip
    hidden = torch.as_tensor(exclude).to(device)
    own = torch.as_tensor(np.flatnonzero(self_index >= 0)).to(device)
    hidden[own, torch.as_tensor(self_index).to(device)[own]] = True
    assert not got[2][hidden].any() and not got[3][hidden].any()


@pytest.mark.parametrize("size", [1, 16, 65])
def test_without_gallery_labels_the_gallery_is_the_batch(size, rank_sort, device):
    rng = np.random.default_rng(4)
    distance = rng.integers(0, 64, (size, size)) / 16.0
    cosine = rng.integers(-64, 65, (size, size)) / 64.0
    labels = rng.integers(0, 4, size)
    got = compare(rank_sort, F64, device, distance, cosine, labels, None)
    assert not got[2].diagonal().any()
    spelt_out = compare(
        rank_sort, F64, device, distance, cosine, labels, labels, self_index=np.arange(size)
    )
    for mine, same in zip(got, spelt_out, strict=True):
        assert torch.equal(mine, same)


@pytest.mark.parametrize("shape", ["tail", "positives_40", "positives_300"])
@pytest.mark.parametrize("delta", DELTAS)
@pytest.mark.parametrize("dtype", [F64, F32], ids=str)
def test_what_is_taken_from_one_distance_is_given_to_another(
    shape, delta, dtype, rank_sort, device
):
    distance, cosine, labels, gallery_labels = map(torch.as_tensor, rows_of(shape, 5))
    _, _, by_d, by_cos = rank_sort(
        distance.to(device, dtype), cosine.to(device, dtype), labels.to(device), gallery_labels.to(device),
        delta=delta, weights=(1.0, 1.0, 1.0),
    )  # fmt: skip
    assert by_d.abs().sum(-1).gt(0).all()
    assert (by_d.double().sum(-1).abs() <= ZERO_SUM[dtype] * by_d.double().abs().sum(-1)).all()
    assert by_cos.le(0).all()  # every positive is pulled in angle, none pushed


@pytest.mark.parametrize("spoil", ["distance", "cosine"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
@pytest.mark.parametrize("role", ["positive", "negative", "excluded", "own"])
@pytest.mark.parametrize("delta", [0.0, 0.5])
def test_a_non_finite_entry_spoils_its_query_only_if_it_is_compared(
    spoil, value, role, delta, rank_sort, device
):
    distance, cosine, _, _ = rows_of("tail", 6)
    labels, gallery_labels = np.zeros(len(distance), int), np.arange(distance.shape[1]) % 3
    (distance if spoil == "distance" else cosine)[1, 4 if role == "negative" else 3] = value
    exclude = np.zeros(distance.shape, bool)
    exclude[1, 3] = role == "excluded"
    self_index = np.full(len(labels), -1)
    if role == "own":
        self_index[1] = 3
    got = compare(
        rank_sort, F64, device, distance, cosine, labels, gallery_labels,
        delta=delta, exclude=exclude, self_index=self_index,
    )  # fmt: skip
    spoiled = got[0].isnan().tolist()
    assert spoiled == [False, role in ("positive", "negative"), False, False, False]


@pytest.mark.parametrize("shape", ["tail", "positives_40"])
def test_sets_are_independent_rows(shape, rank_sort, device):
    first, second = rows_of(shape, 7), rows_of(shape, 8)
    labels, gallery_labels = (torch.as_tensor(a).to(device) for a in first[2:])
    stacked = [torch.as_tensor(np.stack([first[i], second[i]])).to(device) for i in (0, 1)]
    settings = {"delta": 0.5, "weights": WEIGHTS}
    together = rank_sort(*stacked, labels, gallery_labels, **settings)
    for s in (0, 1):
        alone = rank_sort(stacked[0][s], stacked[1][s], labels, gallery_labels, **settings)
        for mine, same in zip(together, alone, strict=True):
            assert_close(mine[s], same, 1e-12)  # the order of additions may differ
