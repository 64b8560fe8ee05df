"""Pedestrians drawn procedurally: any number of identities and cameras, the same bits for a seed."""

import numpy as np
import torch

from .. import spec
from ..split import ReidData, TensorSplit
from . import cameras as cam
from . import people, shots
from .draws import Draws

SIZE = (64, 32)
TRAIN, TEST, STRANGERS = 10, 20, 30  # first numbers of their streams
MOST_BYTES = 8 * 2**30  # of pictures, which are all kept in memory
OPTIONS = {
    "identities": spec.whole(2, 1_000_000),
    "test": spec.whole(2, 1_000_000),
    "images": spec.whole(4, 10_000),
    "cameras": spec.whole(2, 1000),
    "size": spec.height_width(16, 1024),
}


def load(kind, text, height, width, seed):
    """height and width may be None."""
    chosen = spec.options(kind, text, OPTIONS)
    size = chosen.pop("size", None)
    if size and (height, width) != (None, None):
        raise ValueError(f"{kind}: size={size[0]}x{size[1]} and height or width are both given")
    height, width = size or (height or SIZE[0], width or SIZE[1])
    name = kind if text is None else f"{kind}:{text}"
    return build(name, **chosen, height=height, width=width, seed=seed)


def build(name, *, identities=80, test=50, images=14, cameras=6, height=64, width=32, seed=0):
    """identities for training, test others for query and gallery; images of each of these."""
    wanted = ((identities + test) * images + 4 * test) * 3 * height * width
    if wanted > MOST_BYTES:
        raise ValueError(
            f"{name} is {wanted / 2**30:,.1f} GiB of pictures, and {MOST_BYTES / 2**30:.0f} GiB are "
            "the most: take fewer identities or images, or a smaller size"
        )
    n_cameras = cameras
    eyes = [cam.make(c, seed, height, width) for c in range(1, n_cameras + 1)]

    def pictures(stream, listed, who):
        return torch.from_numpy(shots.take(listed, who, eyes, height, width, (seed, stream, 1)))

    known = people.draw(identities, Draws(seed, TRAIN))
    listed = _listed(identities, images, n_cameras, Draws(seed, TRAIN, 2))
    train = TensorSplit(
        pictures(TRAIN, listed, known), torch.from_numpy(listed.person + 1), listed.camera
    )

    tested = people.draw(test, Draws(seed, TEST))
    listed = _listed(test, images, n_cameras, Draws(seed, TEST, 2))
    seen = pictures(TEST, listed, tested)
    ids, cams = listed.person + 1 + identities, listed.camera
    asked = _first_of_each(ids, cams)
    query = TensorSplit(seen[asked], ids[asked], cams[asked])

    extra, extra_ids = _extra(test, identities, n_cameras, Draws(seed, STRANGERS, 2))
    crowd = people.draw(len(extra), Draws(seed, STRANGERS))
    # a badly cut picture shows someone who is looked for
    both = people.join(tested, crowd)
    more = pictures(STRANGERS, extra, both)
    gallery = TensorSplit(
        torch.cat([seen[~asked], more]),
        np.concatenate([ids[~asked], extra_ids]),
        np.concatenate([cams[~asked], extra.camera]),
    )
    return ReidData(name, train, query, gallery)


def _listed(count, images, n_cameras, draws):
    """Each identity passes 2 or more cameras and is seen at least twice by each."""
    person = np.arange(count).repeat(images)
    camera = np.empty((count, images), np.int64)
    for i in range(count):
        most = min(n_cameras, images // 2)
        passed = draws.order(n_cameras)[: 2 + draws.below(most - 1)]
        camera[i] = passed[np.arange(images) % len(passed)] + 1
    return shots.Shots(person, camera.ravel(), np.full(len(person), shots.WHOLE))


def _first_of_each(ids, cams):
    """[N] bool: the first picture of each identity by each camera."""
    first = np.zeros(len(ids), bool)
    first[np.unique(np.stack([ids, cams]), axis=1, return_index=True)[1]] = True
    return first


def _extra(test, identities, n_cameras, draws):
    """Distractors (0): passers-by and empty pictures; junk (−1): badly cut pictures of the tested."""
    count = 4 * test
    kind = np.array([shots.WHOLE, shots.WHOLE, shots.NOBODY, shots.BADLY_CUT])[np.arange(count) % 4]
    junk = kind == shots.BADLY_CUT
    person = np.where(junk, draws.below(test, (count,)), test + np.arange(count))
    camera = draws.below(n_cameras, (count,)) + 1
    return shots.Shots(person, camera, kind), np.where(junk, -1, 0)
