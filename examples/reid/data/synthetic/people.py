"""Who there is: clothing, colours, pattern, build, hair and bag, as arrays over identities."""

from dataclasses import dataclass, fields

import numpy as np

UPPER = ("t-shirt", "long sleeves", "jacket", "dress")
LOWER = ("trousers", "shorts", "skirt")
PATTERN = ("plain", "stripes", "upright stripes", "checks", "dots", "logo")
HAIR = ("short", "long", "none", "cap")
BAG = ("none", "backpack", "handbag")

CLOTH = np.array(
    [
        (28, 28, 32),  # black
        (62, 64, 70),  # charcoal
        (132, 132, 132),  # grey
        (232, 230, 224),  # white
        (30, 40, 84),  # navy
        (48, 96, 178),  # blue
        (136, 178, 218),  # light blue
        (186, 38, 44),  # red
        (112, 28, 42),  # wine
        (46, 122, 68),  # green
        (104, 106, 62),  # olive
        (226, 190, 60),  # yellow
        (222, 120, 42),  # orange
        (228, 150, 172),  # pink
        (112, 66, 142),  # purple
        (104, 70, 44),  # brown
        (202, 180, 142),  # beige
        (40, 140, 146),  # teal
    ]
)
# what people wear on their legs is mostly this; the last ones are skirts' too
LEGS = CLOTH[[0, 0, 1, 4, 4, 2, 16, 15, 10, 3, 5, 8, 9, 13]]
SKIN = np.array([(236, 196, 168), (222, 174, 140), (190, 138, 102), (142, 96, 66), (92, 62, 46)])
HAIRS = np.array([(26, 22, 22), (58, 38, 26), (96, 64, 38), (172, 132, 76), (128, 124, 120)])
SHOES = np.array([(24, 24, 26), (222, 220, 216), (92, 62, 40), (150, 40, 40), (60, 70, 110)])

COLUMNS = 28  # numbers that make an identity


@dataclass(frozen=True)
class People:
    """[n] each, colours [n, 3] in 0 … 255; kinds are indices into the tuples above."""

    tall: np.ndarray  # height, around 1
    wide: np.ndarray  # width, around 1
    taper: np.ndarray  # hips over shoulders
    skin: np.ndarray
    hair: np.ndarray
    hair_colour: np.ndarray
    upper: np.ndarray
    upper_colour: np.ndarray
    second_colour: np.ndarray  # of the pattern, and of what is under a jacket
    pattern: np.ndarray
    period: np.ndarray  # of the pattern, in body heights
    lower: np.ndarray
    lower_colour: np.ndarray
    loose: np.ndarray  # added to the legs' radius
    shoes: np.ndarray
    bag: np.ndarray
    bag_colour: np.ndarray
    bag_side: np.ndarray  # −1 or 1

    def __len__(self):
        return len(self.tall)

    def take(self, index):
        return People(**{f.name: getattr(self, f.name)[index] for f in fields(self)})


def join(some, others):
    pairs = {f.name: (getattr(some, f.name), getattr(others, f.name)) for f in fields(People)}
    return People(**{name: np.concatenate(pair) for name, pair in pairs.items()})


def draw(count, draws, alike=0.3):
    """count people. A share `alike` of them is someone else but for four of the numbers."""
    u = draws.uniform(0, 1, (count, COLUMNS))
    copied = draws.uniform(0, 1, (count,)) < alike
    other = draws.uniform(0, 1, (count,))
    changed = np.argsort(draws.uniform(0, 1, (count, COLUMNS)), axis=1, kind="stable")[:, :4]
    for i in range(1, count):
        if copied[i]:
            keep = u[int(other[i] * i)].copy()
            keep[changed[i]] = u[i, changed[i]]
            u[i] = keep
    return _decode(u)


def _decode(u):
    """u [n, COLUMNS] in [0, 1)."""

    def pick(column, weights):
        edges = np.cumsum(np.array(weights))  # whole numbers: the sum is exact
        return np.searchsorted(edges, u[:, column] * edges[-1], side="right")

    def colour(column, palette, jitter=24, other_than=None):
        n = len(palette)
        index = (u[:, column] * n).astype(int)
        if other_than is not None:
            first = (u[:, other_than] * n).astype(int)
            index = (first + 1 + (u[:, column] * (n - 1)).astype(int)) % n
        base = palette[index].astype(np.float64)
        return np.clip(base + (u[:, column + 1 : column + 4] - 0.5) * jitter, 8, 247)

    def span(column, low, high):
        return low + (high - low) * u[:, column]

    upper = pick(0, (7, 5, 5, 3))
    pattern = pick(1, (7, 3, 2, 3, 2, 4))
    pattern[(upper == UPPER.index("jacket")) & (pattern == PATTERN.index("logo"))] = 0
    return People(
        tall=span(2, 0.88, 1.06),
        wide=span(3, 0.84, 1.24),
        taper=span(4, 0.74, 1.02),
        skin=SKIN[pick(5, (5, 4, 3, 2, 2))].astype(np.float64),
        hair=pick(6, (8, 6, 1, 3)),
        hair_colour=HAIRS[pick(7, (5, 4, 3, 2, 1))].astype(np.float64),
        upper=upper,
        upper_colour=colour(8, CLOTH),
        second_colour=colour(12, CLOTH, other_than=8),
        pattern=pattern,
        period=span(16, 0.085, 0.14),
        lower=pick(17, (8, 3, 3)),
        lower_colour=colour(18, LEGS),
        loose=span(22, 0.0, 0.018),
        shoes=SHOES[pick(23, (4, 3, 2, 1, 1))].astype(np.float64),
        bag=pick(24, (5, 3, 3)),
        bag_colour=CLOTH[(u[:, 25] * len(CLOTH)).astype(int)].astype(np.float64),
        bag_side=np.where(u[:, 26] < 0.5, -1.0, 1.0),
    )
