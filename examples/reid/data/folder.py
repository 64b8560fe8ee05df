"""Any images: one folder for each identity, a camera in the file's name or none."""

import re

from . import tree
from .images import FileSplit
from .split import ReidData
from .synthetic.draws import Draws

SIZE = (256, 128)
CAMERA = re.compile(r"(?:^|[_.\- ])(?:camera|cam|c)[_-]?(\d{1,6})(?=[_.\- s])", re.IGNORECASE)
GIVEN = ("train", "query", "gallery")


def load(kind, path, height, width, seed):
    """PATH/train, PATH/query and PATH/gallery as they are, or else half of the identities for each purpose.

    Without cameras a query's camera is 0 and the gallery's 1, so that nothing leaves a query's list: the
    protocol would leave out what the query's own camera saw of its identity.
    """
    folder = tree.root(kind, path, (), "one folder for each identity")
    if all((folder / name).is_dir() for name in GIVEN):
        train, query, gallery = _given(kind, folder)
    else:
        train, query, gallery = _divided(kind, folder, seed)
    with_cameras = _has_cameras(kind, [*train, *query, *gallery])

    def split(rows, camera):
        cameras = [c if with_cameras else camera for _, _, c in rows]
        return FileSplit([p for p, _, _ in rows], [i for _, i, _ in rows], cameras, height, width)

    return ReidData(
        f"{kind}:{path}",
        split(train, 0),
        split(query, 0),
        split(gallery, 1),
        junk_ids=(),
        distractor_ids=(),
    )


def _given(kind, folder):
    names = sorted({name for part in GIVEN for name in tree.folders(folder / part)})
    number = {name: i for i, name in enumerate(names, 1)}
    rows = [_rows(folder / part, number) for part in GIVEN]
    for part, found in zip(GIVEN, rows, strict=True):
        if not found:
            raise ValueError(
                f"{kind} looked for one folder for each identity, with images in it, in "
                f"{folder / part} and found none"
            )
    if not {i for _, i, _ in rows[1]} & {i for _, i, _ in rows[2]}:
        raise ValueError(f"{kind}: no identity of {folder}/query is in {folder}/gallery")
    return rows


def _divided(kind, folder, seed):
    names = tree.folders(folder)
    rows = _rows(folder, {name: i for i, name in enumerate(names, 1)})
    of = {}
    for row in rows:
        of.setdefault(row[1], []).append(row)
    shown_twice = [i for i, found in of.items() if len(found) >= 2]
    if len(shown_twice) < 4:
        raise ValueError(
            f"{kind} looked for 4 or more folders, one for each identity, that hold 2 images or more, "
            f"in {folder} and found {len(shown_twice)}{_instead(kind, folder)}"
        )
    order = [shown_twice[i] for i in Draws(seed, 4).order(len(shown_twice))]
    tested = set(order[: len(order) // 2])
    train = [row for row in rows if row[1] not in tested]
    query, gallery = [], []
    for identity in sorted(tested):
        asked = _asked(of[identity])
        query += [of[identity][i] for i in asked]
        gallery += [row for i, row in enumerate(of[identity]) if i not in asked]
    return train, query, gallery


def _instead(kind, folder):
    """; try ...: PATH is an identity's folder, or the folders are one level down."""
    if tree.images(folder):
        return f"; try {kind}:{folder.absolute().parent}"
    for name in tree.folders(folder)[:100]:
        if any(tree.images(folder / name / one) for one in tree.folders(folder / name)[:100]):
            return f"; try {kind}:{folder / name}"
    return ""


def _asked(rows):
    """The first image of each camera that has others; without such a camera the first of all."""
    by_camera = {}
    for i, (_, _, camera) in enumerate(rows):
        by_camera.setdefault(camera, []).append(i)
    return [found[0] for found in by_camera.values() if len(found) > 1] or [0]


def _rows(folder, number):
    """[(path, identity, camera or None)]"""
    rows = []
    for name in tree.folders(folder):
        for image in tree.images(folder / name):
            camera = CAMERA.search(image)
            path = f"{folder}/{name}/{image}"
            rows.append((path, number[name], int(camera[1]) if camera else None))
    return rows


def _has_cameras(kind, rows):
    without = [path for path, _, camera in rows if camera is None]
    if without and len(without) < len(rows):
        raise ValueError(
            f"{kind} found a camera, as in c3_ or cam3_, in the names of {len(rows) - len(without):,} "
            f"images of {len(rows):,} but not in that of {without[0]}"
        )
    return not without
