"""The example's sampler: nothing left out, nothing repeated without need, seeds, places, ranks."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from training.sampler import IdentitySampler

pytestmark = pytest.mark.usefixtures("one_thread")

COUNTS = st.lists(st.integers(1, 9), min_size=1, max_size=12)  # images of each identity
SIZES = st.tuples(st.integers(1, 5), st.integers(1, 4))  # P, K


def labels(counts):
    """Identities with gaps, in shuffled order, so that places and numbers cannot be mixed up."""
    numbers = torch.arange(len(counts)) * 7 - 3
    every = numbers.repeat_interleave(torch.tensor(counts))
    return every[torch.randperm(len(every), generator=torch.Generator().manual_seed(1))]


def epoch(sampler, number=0):
    sampler.set_epoch(number)
    return list(sampler)


@profile(max_examples=60, deadline=None)
@given(COUNTS, SIZES, st.integers(0, 2**62), st.integers(0, 5))
def test_an_epoch(counts, sizes, seed, number):
    (p, k), identities = sizes, labels(counts)
    batches = epoch(IdentitySampler(identities, p, k, seed=seed), number)
    here = min(p, len(counts))
    for batch in batches:
        groups = [batch[i : i + k] for i in range(0, len(batch), k)]
        of = [set(identities[group].tolist()) for group in groups]
        assert all(len(one) == 1 for one in of)  # a group is of one identity
        assert len(set.union(*of)) == len(groups) == here  # all different, always as many
        for group, (identity,) in zip(groups, of, strict=True):
            available = int((identities == identity).sum())
            times = Counter(group).values()
            assert len(times) == min(k, available)  # twice the same only where there are too few
            assert max(times) - min(times) <= 1
    used = Counter(i for batch in batches for i in batch)
    assert set(used) == set(range(len(identities)))  # no image is left out
    # no batch more than it takes: the largest identity in each, or all groups in order
    needed = [-(-n // k) for n in counts]
    assert len(batches) == max(max(needed), -(-sum(needed) // here))


@profile(max_examples=30, deadline=None)
@given(COUNTS, SIZES, st.integers(0, 99), st.integers(0, 3), st.data())
def test_goes_on_where_it_was(counts, sizes, seed, number, data):
    whole = epoch(IdentitySampler(labels(counts), *sizes, seed=seed), number)
    stop = data.draw(st.integers(0, len(whole)))
    first = IdentitySampler(labels(counts), *sizes, seed=seed)
    first.set_epoch(number)
    iterator = iter(first)
    begun = [next(iterator) for _ in range(stop)]
    second = IdentitySampler(labels(counts), *sizes, seed=seed)
    second.load_state_dict(first.state_dict())
    assert begun + list(second) == whole
    second.load_state_dict(first.state_dict(position=0))  # a loader that had read ahead
    assert list(second) == whole


@profile(max_examples=40, deadline=None)
@given(COUNTS, SIZES, st.integers(2, 3), st.integers(0, 99))
def test_ranks(counts, sizes, ranks, seed):
    (p, k), identities = sizes, labels(counts)
    parts = [
        epoch(IdentitySampler(identities, p, k, seed=seed, rank=r, ranks=ranks), 1)
        for r in range(ranks)
    ]
    sampler = IdentitySampler(identities, p, k, ranks=ranks)
    assert [len(part) for part in parts] == [len(sampler)] * ranks
    assert {len(b) for part in parts for b in part} == {min(p, len(counts)) * k}
    assert {i for part in parts for b in part for i in b} == set(range(len(identities)))
    if len(counts) >= p * ranks:  # all of a step are different, and are one process's batch
        whole = epoch(IdentitySampler(identities, p * ranks, k, seed=seed), 1)
        assert [[i for b in step for i in b] for step in zip(*parts, strict=True)] == whole


def test_epochs_and_seeds_differ():
    identities = labels([8] * 12)
    sampler = IdentitySampler(identities, 3, 4, seed=5)
    drawn = [epoch(sampler, e) for e in range(4)]
    drawn += [epoch(IdentitySampler(identities, 3, 4, seed=s)) for s in (4, 6)]
    assert len({str(one) for one in drawn}) == 6
    assert epoch(sampler, 2) == drawn[2]


def test_identities_meet_different_ones():
    # With one group each, an epoch is a random partition; over epochs every pair should meet.
    sampler = IdentitySampler(labels([2] * 8), 4, 2, seed=0)
    met = set()
    for number in range(40):
        for batch in epoch(sampler, number):
            group = frozenset(labels([2] * 8)[batch].tolist())
            met |= {frozenset((a, b)) for a in group for b in group if a != b}
    assert len(met) == 8 * 7 // 2  # a pair misses 40 epochs with probability (4/7)^40 = 2e-10


def test_a_large_identity_does_not_end_alone():
    # 12 groups against 20 of 20 others, P = 4: 8 batches would do for the groups, 12 for the large one.
    identities = labels([48] + [4] * 20)
    batches = epoch(IdentitySampler(identities, 4, 4))
    assert len(batches) == 12
    assert all(len(set(identities[b].tolist())) == 4 for b in batches)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(identities=[]), r"identities must be a list of at least one, got shape \[0\]"),
        (dict(per_batch=0), "per_batch must be a whole number >= 1, got 0"),
        (dict(per_identity=2.0), "per_identity must be a whole number >= 1, got 2.0"),
        (dict(ranks=2, rank=2), "rank must be below ranks = 2, got 2"),
        (dict(rank=-1), "rank must be a whole number >= 0, got -1"),
    ],
)
def test_says_what_is_wrong(arguments, message):
    given = dict(identities=[1, 1, 2, 2], per_batch=2, per_identity=2) | arguments
    with pytest.raises(ValueError, match=message):
        IdentitySampler(**given)


def test_a_state_of_another_sampler_is_refused():
    sampler = IdentitySampler([1, 1, 2, 2], 2, 2, seed=1)
    with pytest.raises(ValueError, match="seed must be 1, the sampler's, got 2"):
        sampler.load_state_dict({"seed": 2, "epoch": 0, "position": 0})
    with pytest.raises(ValueError, match="position must be 0 to 1, got 5"):
        sampler.load_state_dict({"seed": 1, "epoch": 0, "position": 5})
