"""Pedestrians drawn procedurally: any number of identities and cameras, the same bits for a seed."""

import numpy as np
import torch

from .. import spec
from ..split import ReidData, TensorSplit
from . import cameras as eyes
from . import people, shots
from .draws import Draws

SIZE = (64, 32)
MOST_BYTES = 8 * 2**30  # of pictures, which are all kept in memory
OPTIONS = {
    "identities": spec.whole(2, 1_000_000),
    "test": spec.whole(2, 1_000_000),
    "images": spec.whole(4, 10_000),
    "cameras": spec.whole(2, 1000),
    "size": spec.height_width(16, 1024),
}
CAMERAS, TRAIN, TEST, STRANGERS = range(4)  # streams of random numbers: seed, one of these, ...
WHO, WHERE, HOW = range(3)


def load(kind, text, height, width, seed):
    """height and width may be None."""
    chosen = spec.options(kind, text, OPTIONS)
    size = chosen.pop("size", None)
    if size and (height, width) != (None, None):
        raise ValueError(f"{kind}: size={size[0]}x{size[1]} and height or width are both given")
    height, width = size or (height or SIZE[0], width or SIZE[1])
    name = f"{kind}:{text}" if text else kind
    return build(name, height, width, seed, **chosen)


def build(name, height, width, seed, *, identities=100, test=50, images=12, cameras=6):
    """identities for training, test others for query and gallery; images of each of these."""
    wanted = ((identities + test) * images + 4 * test) * 3 * height * width
    if wanted > MOST_BYTES:
        raise ValueError(
            f"{name} is {wanted / 2**30:,.1f} GiB of pictures, and {MOST_BYTES / 2**30:.0f} GiB are "
            "the most: take fewer identities or images, or a smaller size"
        )
    taken_by = [eyes.make(Draws(seed, CAMERAS, c), height, width) for c in range(cameras)]

    def pictures(stream, listed, who):
        key = (seed, stream, HOW)
        return torch.from_numpy(shots.take(listed, who, taken_by, height, width, key))

    known = people.draw(identities, Draws(seed, TRAIN, WHO))
    listed = _passes(identities, images, cameras, Draws(seed, TRAIN, WHERE))
    train = TensorSplit(
        pictures(TRAIN, listed, known), torch.from_numpy(listed.person + 1), listed.camera
    )

    tested = people.draw(test, Draws(seed, TEST, WHO))
    listed = _passes(test, images, cameras, Draws(seed, TEST, WHERE))
    seen = pictures(TEST, listed, tested)
    ids, cams = listed.person + identities + 1, listed.camera
    asked = _first_of_each(ids, cams)
    query = TensorSplit(seen[asked], ids[asked], cams[asked])

    extra, extra_ids = _extra(test, cameras, Draws(seed, STRANGERS, WHERE))
    crowd = people.draw(len(extra), Draws(seed, STRANGERS, WHO))
    more = pictures(STRANGERS, extra, people.join(tested, crowd))
    gallery = TensorSplit(
        torch.cat([seen[~asked], more]),
        np.concatenate([ids[~asked], extra_ids]),
        np.concatenate([cams[~asked], extra.camera]),
    )
    return ReidData(name, train, query, gallery)


def _passes(count, images, cameras, draws):
    """Each identity passes 2 cameras or more, and each of these sees it twice or more."""
    person = np.arange(count).repeat(images)
    camera = np.empty((count, images), np.int64)
    most = min(cameras, images // 2)
    for i in range(count):
        passed = draws.order(cameras)[: 2 + draws.below(most - 1)]
        camera[i] = passed[np.arange(images) % len(passed)] + 1
    return shots.Shots(person, camera.ravel(), np.full(len(person), shots.WHOLE))


def _first_of_each(ids, cams):
    """[N] bool: the first picture of each identity by each camera."""
    first = np.zeros(len(ids), bool)
    first[np.unique(np.stack([ids, cams]), axis=1, return_index=True)[1]] = True
    return first


def _extra(test, cameras, draws):
    """Distractors (0): passers-by and empty pictures; junk (−1): badly cut pictures of the tested."""
    count = 4 * test
    kinds = np.array([shots.WHOLE, shots.WHOLE, shots.NOBODY, shots.BADLY_CUT])
    kind = kinds[np.arange(count) % 4]
    junk = kind == shots.BADLY_CUT
    person = np.where(junk, draws.below(test, (count,)), test + np.arange(count))
    camera = draws.below(cameras, (count,)) + 1
    return shots.Shots(person, camera, kind), np.where(junk, -1, 0)
