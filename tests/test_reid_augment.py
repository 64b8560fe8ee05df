"""The example's augmentation: what it does, and that nothing but seed, epoch and image decides."""

import pytest
import torch

from training.augment import augmented

pytestmark = pytest.mark.usefixtures("one_thread")


def images(n, size=(24, 12), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, 255, (n, 3, *size), generator=generator, dtype=torch.uint8)


def test_depends_on_nothing_else():
    pictures, places = images(12), torch.arange(100, 112)
    whole = augmented(pictures, places, 3, 5)
    assert whole.dtype == torch.uint8 and whole.shape == pictures.shape
    order = torch.randperm(12)
    assert torch.equal(augmented(pictures[order], places[order], 3, 5), whole[order])
    parts = [augmented(pictures[i : i + 1], places[i : i + 1], 3, 5) for i in range(12)]
    assert torch.equal(torch.cat(parts), whole)
    state = torch.get_rng_state()
    assert torch.equal(augmented(pictures, places, 3, 5), whole)
    assert torch.equal(torch.get_rng_state(), state)


def test_seeds_epochs_images_and_copies_differ():
    one = images(1, (96, 96)).repeat(4, 1, 1, 1)  # 578 ways to lie
    drawn = [augmented(one, torch.tensor([7, 7, 7, 8]), *at) for at in ((0, 0), (0, 1), (1, 0))]
    # 66 pairs, of which one in 2,000 is alike by chance
    assert len({t.numpy().tobytes() for batch in drawn for t in batch}) >= 11


def test_what_happens_to_an_image():
    """Each is the original mirrored or not, moved by up to a twelfth, with a grey rectangle or none."""
    height, width, n = 24, 12, 400
    picture = images(1, (height, width))
    out = augmented(picture.repeat(n, 1, 1, 1), torch.arange(n), 0, 0)
    mirrored = erased = 0
    moves = set()
    for got in out:
        best = None
        for flip in (False, True):
            source = picture[0].flip(-1) if flip else picture[0]
            for down in range(-2, 3):
                for right in range(-1, 2):
                    wanted = torch.zeros_like(source)
                    rows = slice(max(down, 0), height + min(down, 0))
                    columns = slice(max(right, 0), width + min(right, 0))
                    wanted[:, rows, columns] = source.roll((down, right), (1, 2))[:, rows, columns]
                    wrong = (wanted != got).any(0)
                    if best is None or wrong.sum() < best[0].sum():
                        best = wrong, flip, (down, right)
        wrong, flip, move = best
        mirrored += flip
        moves.add(move)
        if wrong.any():
            erased += 1
            rows, columns = wrong.any(1).nonzero(), wrong.any(0).nonzero()
            box = got[:, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
            assert (box == 118).all()
            assert 0 < box[0].numel() <= 0.35 * height * width  # 25 %, rounded outwards
    # 400 tosses: 5 deviations are 50
    assert 150 < mirrored < 250 and 150 < erased < 250
    assert moves == {(down, right) for down in range(-2, 3) for right in range(-1, 2)}
