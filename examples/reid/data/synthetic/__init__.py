"""Pedestrians drawn procedurally: any number of identities and cameras, the same bits for a seed."""

import numpy as np
import torch

from ..split import ReidData, TensorSplit
from . import cameras, people, shots
from .draws import Draws

TRAIN, TEST, STRANGERS = 10, 20, 30  # first numbers of their streams


def build(name, *, identities=80, test=50, images=14, n_cameras=6, height=64, width=32, seed=0):
    """identities for training, test others for query and gallery; images of each identity."""
    eyes = [cameras.make(c, seed, height, width) for c in range(1, n_cameras + 1)]

    def pictures(stream, listed, who):
        return torch.from_numpy(
            shots.take(listed, who, eyes, height, width, (seed, stream, 1))
        )

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
