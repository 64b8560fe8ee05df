"""Cases with a gallery, masks, sets or unusual labels, and those whose rows are degenerate."""

import numpy as np
import torch

from case_kit import F64, Case, case, clusters, drawn, labelled, pk_labels

# ------------------------------------------------------------------------------ galleries


def with_gallery(
    name,
    *,
    seed,
    queries=10,
    entries=37,
    classes=6,
    dim=16,
    change=lambda c, rng: {},
    dtypes=(torch.float64, torch.float32, torch.float16, torch.bfloat16),
    gap=4e-6,
    **fields,
):
    """Queries and gallery from the same clusters; change(case, rng) replaces fields of the draw."""

    @case(name, dtypes)
    def make():
        def draw(rng):
            labels = torch.as_tensor(rng.integers(0, classes, queries + entries))
            rows = clusters(rng, labels, dim)
            plain = {
                "x": rows[:queries], "labels": labels[:queries],
                "gallery": rows[queries:], "gallery_labels": labels[queries:],
            }  # fmt: skip
            plain.update(fields)
            plain.update(change(Case(**plain), rng))
            return Case(**plain)

        return drawn(draw, seed, gap)


def bank(c, rng, known=None):
    """The gallery holds the batch's own rows, shuffled among others; self_index says where.
    With known = k only every k-th query is said to be there."""
    order = torch.as_tensor(rng.permutation(len(c.gallery) + len(c.x)))
    place = torch.argsort(order)[len(c.gallery) :]
    if known is not None:
        place = torch.where(torch.arange(len(place)) % known == 0, place, -1)
    return {
        "gallery": torch.cat([c.gallery, c.x])[order],
        "gallery_labels": torch.cat([c.gallery_labels, c.labels])[order],
        "self_index": place,
    }


def excluded(share):
    def change(c, rng):
        entries = len(c.x) if c.gallery is None else len(c.gallery)
        return {"exclude": torch.as_tensor(rng.random((len(c.x), entries)) < share)}

    return change


with_gallery("gallery", seed=1000)
with_gallery("gallery_wide", seed=1001, queries=3, entries=131)
with_gallery("gallery_narrow", seed=1002, queries=65, entries=5, classes=3)
with_gallery("gallery_of_one", seed=1003, queries=9, entries=1, classes=2)
with_gallery("gallery_empty", seed=1004, queries=4, entries=0)
with_gallery("queries_empty", seed=1005, queries=0, entries=7)
with_gallery(
    "gallery_strangers", seed=1006, change=lambda c, rng: {"gallery_labels": c.gallery_labels + 50}
)
with_gallery("gallery_normalize", seed=1007, options={"normalize": True})
with_gallery("gallery_delta_0", seed=1008, options={"delta": 0.0})
with_gallery("bank", seed=1010, change=bank)
with_gallery("bank_partly_known", seed=1011, change=lambda c, rng: bank(c, rng, known=3))
with_gallery("bank_unknown", seed=1012, change=lambda c, rng: bank(c, rng) | {"self_index": None})
with_gallery("gallery_positives_200", seed=1013, queries=3, entries=230, classes=1, dim=3,
             change=lambda c, rng: {"gallery_labels": (torch.arange(230) % 8 == 3).long()},
             dtypes=(F64,), gap=1e-12)  # fmt: skip
with_gallery("gallery_excluded", seed=1014, change=excluded(0.3))
with_gallery("bank_excluded", seed=1015,
             change=lambda c, rng: (b := bank(c, rng)) | {"exclude": torch.as_tensor(
                 rng.random((len(c.x), len(b["gallery"]))) < 0.3)})  # fmt: skip


@case("gallery_is_the_batch")
def gallery_is_the_batch():
    """The very same tensor, without self_index: each query finds its own copy as a positive."""

    def draw(rng):
        labels = pk_labels(5, 4)
        x = clusters(rng, labels, 16)
        return Case(x, labels, x, labels, gallery_is_x=True)

    return drawn(draw, 1020)


labelled(
    "self_index_shifted", pk_labels(6, 4), 16, seed=1021, self_index=(torch.arange(24) + 5) % 24
)
labelled("self_index_none_own", pk_labels(6, 4), 16, seed=1022, self_index=torch.full((24,), -1))

# ----------------------------------------------------------------------------- exclusion


def with_exclusion(name, seed, change):
    @case(name)
    def make():
        def draw(rng):
            plain = {"x": clusters(rng, pk_labels(6, 4), 16), "labels": pk_labels(6, 4)}
            return Case(**plain, **change(Case(**plain), rng))

        return drawn(draw, seed)


def whole_rows(c, rng):
    exclude = torch.zeros(len(c.x), len(c.x), dtype=torch.bool)
    exclude[::3] = True
    return {"exclude": exclude}


with_exclusion("excluded_some", 1100, excluded(0.3))
with_exclusion("excluded_most", 1101, excluded(0.9))
with_exclusion("excluded_all", 1102, excluded(1.0))
with_exclusion("excluded_rows", 1103, whole_rows)
with_exclusion(
    "excluded_columns",
    1104,
    lambda c, rng: {"exclude": whole_rows(c, rng)["exclude"].T.contiguous()},
)
with_exclusion(
    "excluded_negatives", 1105, lambda c, rng: {"exclude": c.labels[:, None] != c.labels[None]}
)
with_exclusion(
    "excluded_positives", 1106, lambda c, rng: {"exclude": c.labels[:, None] == c.labels[None]}
)

# ---------------------------------------------------------------------------------- sets


def in_sets(name, seed, sets, *, gallery=False, masks=False, options=None):
    """Independent problems with the same labels, as part-based models make."""

    @case(name)
    def make():
        def draw(rng):
            labels = pk_labels(5, 4)
            fields = {
                "x": torch.stack([clusters(rng, labels, 12) for _ in range(sets)]),
                "labels": labels,
            }
            if gallery:
                other = torch.arange(13) % 6
                fields["gallery"] = torch.stack([clusters(rng, other, 12) for _ in range(sets)])
                fields["gallery_labels"] = other
            if masks:
                fields["exclude"] = torch.as_tensor(rng.random((20, 13 if gallery else 20)) < 0.3)
                fields["self_index"] = torch.as_tensor(rng.integers(-1, 13, 20))
            return Case(**fields, options=options or {})

        return drawn(draw, seed)


in_sets("sets_3", 1200, 3)
in_sets("sets_1", 1201, 1)
in_sets("sets_gallery", 1202, 2, gallery=True)
in_sets("sets_masks", 1203, 2, gallery=True, masks=True)
in_sets("sets_normalize", 1204, 2, options={"normalize": True})

# -------------------------------------------------------------------------------- labels

BIG = torch.iinfo(torch.int64)
labelled("labels_int32", pk_labels(6, 4).to(torch.int32), 16, seed=1300)
labelled("labels_negative", pk_labels(6, 4) - 9, 16, seed=1301)
labelled(
    "labels_extreme",
    torch.tensor([BIG.min, BIG.max, 0, -1, BIG.max - 1])[pk_labels(5, 4)],
    16,
    seed=1302,
)
# Equal in the low 32 bits, and equal once rounded to a double: cut short, these classes would merge.
labelled("labels_far_apart", torch.tensor([1, 1 + 2**32, 1 + 2**33, 2**53, 2**53 + 1])[pk_labels(5, 4)], 16,
         seed=1303)  # fmt: skip

# ------------------------------------------------------------------------- degenerate rows


def copied(name, seed, labels, source, *, zero=(), negated=(), options=None, gallery_from=None):
    """Row i is a copy of row source[i] of a draw; some are zeroed, some are negated (antipodes)."""

    @case(name)
    def make():
        def draw(rng):
            pool = clusters(rng, np.arange(max(source) + 1), 8)
            x = pool[torch.tensor(source)]
            x[list(zero)] = 0.0
            x[list(negated)] *= -1.0
            fields = {"x": x, "labels": torch.tensor(labels), "options": options or {}}
            if gallery_from is not None:
                fields["gallery"] = torch.cat(
                    [x[list(gallery_from)], clusters(rng, np.arange(6), 8)]
                )
                fields["gallery_labels"] = torch.cat(
                    [fields["labels"][list(gallery_from)], torch.arange(6)]
                )
            return Case(**fields)

        return drawn(draw, seed)


MIXED, POOL = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2], [0, 0, 1, 2, 1, 1, 3, 4, 5, 0, 6, 6]
for suffix, delta in {"": 0.5, "_delta_0": 0.0}.items():
    copied(f"duplicates{suffix}", 1400, MIXED, POOL, options={"delta": delta})
    copied(f"all_in_one_point{suffix}", 1401, MIXED, [0] * 12, options={"delta": delta})
    copied(f"classes_in_points{suffix}", 1402, MIXED, MIXED, options={"delta": delta})
    copied(
        f"zero_rows{suffix}",
        1403,
        MIXED,
        list(range(12)),
        zero=(1, 2, 5, 8),
        options={"delta": delta},
    )
    copied(f"all_zero{suffix}", 1404, MIXED, [0] * 12, zero=range(12), options={"delta": delta})
copied("duplicates_in_gallery", 1405, MIXED, POOL, gallery_from=(0, 3, 3, 4, 9, 10))
copied("duplicates_normalize", 1406, MIXED, POOL, options={"normalize": True})
copied(
    "zero_rows_normalize",
    1407,
    MIXED,
    list(range(12)),
    zero=(1, 2, 5, 8),
    options={"normalize": True},
)
copied("antipodes", 1408, MIXED, [0, 0, 1, 2, 3, 3, 4, 5, 6, 1, 7, 8], negated=(1, 5, 9))
