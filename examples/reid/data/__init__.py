"""Data sets by name: load("synthetic"), load("market1501:PATH"). Nothing here knows of models."""

from . import digits, folder, msmt17, named, synthetic
from . import spec as specs
from .split import ReidData, Split, TensorSplit

__all__ = ["KINDS", "ReidData", "Split", "TensorSplit", "describe", "load"]

# kind: (its loader, what follows the name, height and width unless others are asked for)
KINDS = {
    "synthetic": (synthetic.load, "[:OPTIONS]", synthetic.SIZE),
    "digits": (digits.load, "", digits.SIZE),
    **{kind: (named.load, ":PATH", form.size) for kind, form in named.FORMATS.items()},
    "msmt17": (msmt17.load, ":PATH", msmt17.SIZE),
    "folder": (folder.load, ":PATH", folder.SIZE),
}


def load(spec, *, height=None, width=None, seed=0):
    """spec: "synthetic", "synthetic:identities=200,size=128x64", "digits", "market1501:PATH", ...

    height, width   size of the images; None: what the data set is usually brought to
    seed            of what is drawn: all of `synthetic`, who is for training and who for test in `folder`
    """
    kind, rest = specs.split(spec)
    if kind not in KINDS:
        known = ", ".join(name + form for name, (_, form, _) in KINDS.items())
        raise ValueError(f"data must be one of {known}; got {spec!r}")
    loader, form, size = KINDS[kind]
    if not form:
        specs.no_options(kind, rest)
    if type(seed) is not int or not 0 <= seed < 2**63:
        raise ValueError(f"seed must be a whole number from 0 on, got {seed!r}")
    asked = specs.checked_side("height", height), specs.checked_side("width", width)
    if kind == "synthetic":  # its options may hold a size
        return loader(kind, rest, *asked, seed)
    return loader(kind, rest, asked[0] or size[0], asked[1] or size[1], seed)


def describe(data):
    """One line for each list: how many images, identities without junk and distractors, cameras."""
    lines = []
    for name in ("train", "query", "gallery"):
        split = getattr(data, name)
        ids, cams = split.identities.unique(), split.cameras.unique()
        people = set(ids.tolist()) - {*data.junk_ids, *data.distractor_ids}
        lines.append(
            f"{name:8}{len(split):>7,} images  {len(people):>6,} identities  {len(cams):>3,} cameras"
        )
    return "\n".join(lines)
