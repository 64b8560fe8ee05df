"""MSMT17, whose lists say which image shows whom; cameras are in the file names."""

import os
import re
from pathlib import Path

from . import tree
from .images import FileSplit
from .named import check_matches
from .split import ReidData

SIZE = (256, 128)
LISTS = ("list_train.txt", "list_val.txt", "list_query.txt", "list_gallery.txt")
# version 2 has other faces blurred, in folders of other names
FOLDERS = (("train/", "test/"), ("mask_train_v2/", "mask_test_v2/"))
LIKE = "0000_000_01_0303morning_0008_0.jpg"  # identity, number, camera, time, ...


def load(kind, path, height, width, seed):
    """Train is list_train and list_val, as is usual. Identities count from 0 in train and again in test."""
    del seed  # nothing is drawn
    train_folder, test_folder = _folders(path)
    folder = tree.root(kind, path, (train_folder, test_folder, *LISTS))
    train, val, query, gallery = (
        _read(kind, folder / name, folder / place.rstrip("/"))
        for name, place in zip(LISTS, (train_folder,) * 2 + (test_folder,) * 2, strict=True)
    )
    train, query, gallery = (
        FileSplit(*zip(*rows, strict=True), height, width) for rows in (train + val, query, gallery)
    )
    check_matches(kind, query, gallery, *LISTS[2:])
    return ReidData(f"{kind}:{path}", train, query, gallery, junk_ids=(), distractor_ids=())


def _folders(path):
    """Those of the version that is there; of the first if none is."""
    there = [f for f in FOLDERS if path and all((Path(path).expanduser() / p).is_dir() for p in f)]
    return (there or FOLDERS)[0]


def _read(kind, file, place):
    """[(path, identity, camera)] of lines like 0000/0000_000_01_0303morning_0008_0.jpg 0"""
    rows = []
    for number, line in enumerate(file.read_text("utf-8", "replace").splitlines(), 1):
        if not line.strip():
            continue
        found = re.fullmatch(r"\s*(\S+\.jpg)\s+(\d+)\s*", line)
        camera = found and re.fullmatch(r"\d+_\d+_(\d+)_.*", found[1].rpartition("/")[2])
        if not camera:
            raise ValueError(
                f"{kind} looked for lines like 0000/{LIKE} 0 in {file} and found {line.strip()!r} "
                f"in line {number}"
            )
        rows.append((f"{place}/{found[1]}", int(found[2]), int(camera[1])))
    if not rows:
        raise ValueError(f"{kind} looked for lines like 0000/{LIKE} 0 in {file}, which is empty")
    missing = [path for path, _, _ in rows if not os.path.isfile(path)]
    if missing:
        raise ValueError(
            f"{kind}: {file} names {len(rows):,} images, of which {len(missing):,} are not there, "
            f"the first being {missing[0]}"
        )
    return rows
