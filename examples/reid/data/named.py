"""Data sets whose file names say who was seen by which camera: Market-1501, DukeMTMC-reID, VeRi-776."""

import re
from dataclasses import dataclass

from . import tree
from .images import FileSplit
from .split import ReidData


@dataclass(frozen=True)
class Format:
    train: str  # folders
    query: str
    gallery: str
    lists: tuple  # files that name the images of each folder, where there are such files
    name: str  # a regular expression: identity, camera
    like: str  # a name that fits it
    size: tuple  # height and width unless others are asked for
    junk_ids: tuple = ()
    distractor_ids: tuple = ()


FORMATS = {
    "market1501": Format(
        train="bounding_box_train/",
        query="query/",
        gallery="bounding_box_test/",
        lists=(),
        name=r"(-1|\d+)_c(\d)s\d+_\d+_\d+\.jpg",
        like="0002_c1s1_000451_03.jpg",
        size=(256, 128),
        junk_ids=(-1,),
        distractor_ids=(0,),
    ),
    "dukemtmc": Format(
        train="bounding_box_train/",
        query="query/",
        gallery="bounding_box_test/",
        lists=(),
        name=r"(\d+)_c(\d)_f\d+\.jpg",
        like="0005_c2_f0046985.jpg",
        size=(256, 128),
    ),
    "veri776": Format(
        train="image_train/",
        query="image_query/",
        gallery="image_test/",
        lists=("name_train.txt", "name_query.txt", "name_test.txt"),
        name=r"(\d+)_c(\d+)_\d+_\d+\.jpg",
        like="0001_c001_00016450_0.jpg",
        size=(256, 256),
    ),
}


def load(kind, path, height, width, seed):
    del seed  # nothing is drawn
    form = FORMATS[kind]
    folders = (form.train, form.query, form.gallery)
    folder = tree.root(kind, path, folders)
    train, query, gallery = (
        _split(kind, form, folder, part, listed, height, width)
        for part, listed in zip(folders, form.lists or [None] * 3, strict=True)
    )
    left_out = {*form.junk_ids, *form.distractor_ids}
    learnt = [i for i, who in enumerate(train.identities.tolist()) if who not in left_out]
    if not learnt:
        raise ValueError(f"{kind}: {folder / form.train} shows nobody but {sorted(left_out)}")
    train = _some(train, learnt)
    check_matches(kind, query, gallery, form.query, form.gallery)
    return ReidData(f"{kind}:{path}", train, query, gallery, form.junk_ids, form.distractor_ids)


def check_matches(kind, query, gallery, *names):
    """A query list and a gallery that have nobody in common do not belong together."""
    if not set(query.identities.tolist()) & set(gallery.identities.tolist()):
        raise ValueError(f"{kind}: no identity of {names[0]} is in {names[1]}")


def _split(kind, form, folder, part, listed, height, width):
    place = folder / part.rstrip("/")
    names = tree.images(place)
    if listed and (folder / listed).is_file():
        names = _named_in(kind, folder / listed, place, set(names))
    if not names:
        raise ValueError(f"{kind} looked for images like {form.like} in {place} and found none")
    found = [re.fullmatch(form.name, name) for name in names]
    if None in found:
        other = names[found.index(None)]
        fits = [k for k, f in FORMATS.items() if k != kind and re.fullmatch(f.name, other)]
        hint = f"; that is a name of {fits[0]}" if fits else ""
        raise ValueError(
            f"{kind} looked for images like {form.like} in {place} and found {other}{hint}"
        )
    ids, cams = ([int(m[group]) for m in found] for group in (1, 2))
    return FileSplit([f"{place}/{name}" for name in names], ids, cams, height, width)


def _named_in(kind, file, place, there):
    names = file.read_text("utf-8", "replace").split()
    missing = [name for name in names if name not in there]
    if missing:
        raise ValueError(
            f"{kind}: {file} names {len(names):,} images, of which {len(missing):,} are not in "
            f"{place}, the first being {missing[0]}"
        )
    return names


def _some(split, indices):
    return FileSplit(
        [split.paths[i] for i in indices],
        split.identities[indices],
        split.cameras[indices],
        split.height,
        split.width,
    )
