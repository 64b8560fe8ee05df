"""Looking into a data set's folders, and saying well what is not there."""

import os
from pathlib import Path

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".rar", ".7z")


def root(kind, path, wanted, what=None):
    """The folder `path`, which has to hold all names in `wanted`; those that end in / are folders."""
    if not path:
        raise ValueError(f"{kind} needs the folder of the data set: {kind}:PATH")
    folder = Path(path).expanduser()
    missing = _missing(folder, wanted)
    if folder.is_dir() and not missing:
        return folder
    looked = f"{kind} looked for {what or _listed(missing)} in {folder}"
    if not folder.is_dir():
        state = "which is a file" if folder.exists() else "which does not exist"
        raise ValueError(f"{looked}, {state}{_instead(kind, folder, wanted)}")
    raise ValueError(f"{looked} and found {_held(folder)}{_instead(kind, folder, wanted)}")


def images(folder):
    """Names of the images in a folder, sorted; hidden files and others are left out."""
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if _is_image(e.name))


def folders(folder):
    """Names of the folders in a folder, sorted; hidden ones are left out."""
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))


def _is_image(name):
    return name.lower().endswith(IMAGES) and not name.startswith(".")


def _missing(folder, wanted):
    return [
        w for w in wanted if not ((folder / w).is_dir() if w[-1] == "/" else (folder / w).is_file())
    ]


def _instead(kind, folder, wanted):
    """; try ...: one or two levels up or down, or an archive that was not unpacked."""
    below = [folder / name for name in _folders(folder)]
    below += [child / name for child in below for name in _folders(child)]
    for other in [*folder.absolute().parents[:2], *below]:
        if wanted and not _missing(other, wanted):
            return f"; try {kind}:{other}"
    packed = [e for e in _entries(folder) if e.lower().endswith(ARCHIVES)]
    return f"; unpack {_listed(packed)} first" if packed else ""


def _folders(folder):
    return [e[:-1] for e in _entries(folder) if e.endswith("/")][:100]


def _entries(folder):
    """What a folder holds, folders with a / behind; nothing if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(e.name + "/" * e.is_dir() for e in entries if not e.name.startswith("."))
    except OSError:
        return []


def _held(folder):
    return _listed(_entries(folder)) or "nothing there"


def _listed(names, most=5):
    names = list(names)
    more = len(names) - most
    if more > 0:
        return f"{', '.join(names[:most])} and {more:,} more"
    return ", ".join(names[:-1]) + " and " * (len(names) > 1) + "".join(names[-1:])
