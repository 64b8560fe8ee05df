"""Retrievals to evaluate: name → problem. Integers as they come in a data set, features of any kind."""

import torch

NAMES = {}


def problem(queries=30, entries=200, dim=16, *, seed=0, identities=12, cameras=3, spread=1.0):
    """Junk (-1), distractors (0), identities that the gallery lacks, and features around a centre each."""
    g = torch.Generator().manual_seed(seed)
    centres = torch.randn(identities + 3, dim, generator=g)
    query_ids = torch.randint(0, identities + 2, (queries,), generator=g)
    gallery_ids = torch.randint(-1, identities, (entries,), generator=g)
    return {
        "query": centres[query_ids] + spread * torch.randn(queries, dim, generator=g),
        "query_ids": query_ids,
        "query_cams": torch.randint(0, cameras, (queries,), generator=g),
        "gallery": centres[gallery_ids + 1] + spread * torch.randn(entries, dim, generator=g),
        "gallery_ids": gallery_ids,
        "gallery_cams": torch.randint(0, cameras, (entries,), generator=g),
    }


def case(function):
    NAMES[function.__name__] = function
    return function


def mapped(p, f):
    return p | {"query": f(p["query"]), "gallery": f(p["gallery"])}


@case
def plain():
    return problem()


@case
def without_cameras():
    return problem(seed=1) | {"query_cams": None, "gallery_cams": None}


@case
def one_camera():
    """All of a query's own are junk: nobody counts."""
    return problem(seed=2, cameras=1)


@case
def two_identities():
    """Hundreds of matches a query: they are searched for, not compared one by one."""
    return problem(20, 700, 8, seed=3, identities=2, spread=3.0)


@case
def two_identities_far_off():
    """Thresholds known to rounding only, near ties everywhere: double precision settles them."""
    return mapped(problem(12, 700, 8, seed=4, identities=2, spread=1e-4), lambda x: x + 300)


@case
def integer_grid():
    """Thousands of exact ties, which go by index; products are exact."""
    return mapped(problem(30, 600, 4, seed=5), lambda x: x.round())


@case
def wide_grid():
    """The same beyond the digits of float32, within those of float64."""
    return mapped(problem(20, 500, 4, seed=6), lambda x: 3e4 + (5 * x).round())


@case
def tenths():
    """Ties of numbers that no power of two divides."""
    return mapped(problem(20, 500, 4, seed=7), lambda x: x.round() / 10)


@case
def all_equal():
    return mapped(problem(10, 300, 8, seed=8), lambda x: x[:1].expand(len(x), -1).clone())


@case
def duplicates():
    p = problem(20, 400, 32, seed=9)
    return p | {"gallery": p["gallery"][torch.arange(400) % 23]}


@case
def queries_in_the_gallery():
    p = problem(40, 300, 8, seed=10)
    return p | {"query": p["gallery"][:40].clone()}


@case
def near_ties():
    """Distances a unit in the last place of float32 apart."""
    p = problem(20, 300, 32, seed=11)
    step = torch.randint(-2, 3, (300, 32), generator=torch.Generator().manual_seed(1))
    return p | {"gallery": p["gallery"][:1] * (1 + step * 2.0**-23)}


@case
def common_offset():
    return mapped(problem(seed=12), lambda x: 1e-3 * x + 1000)


@case
def huge():
    return mapped(problem(seed=13), lambda x: x * 1e18)


@case
def tiny():
    return mapped(problem(seed=14), lambda x: x * 1e-18)


@case
def mixed_scales():
    p = problem(30, 200, 8, seed=15)
    scale = 10.0 ** torch.linspace(-18, 18, 200)[:, None]
    return p | {"gallery": p["gallery"] * scale, "query": p["query"] * scale[:30]}


@case
def next_to_nothing():
    """On a grid but for numbers so small that they vanish in its unit; they decide all the same."""
    p = mapped(problem(20, 200, 3, seed=23), torch.zeros_like)
    p["gallery"] += (
        torch.randint(0, 5, (200, 3), generator=torch.Generator().manual_seed(3)) * 1e-40
    )
    p["gallery"][0] = 2.0**50
    return p


@case
def outlier():
    p = problem(seed=16)
    p["gallery"][7] *= 1e12
    return p


@case
def rectified():
    """As features after a ReLU: all rows point the same way."""
    return mapped(problem(30, 300, 64, seed=17), lambda x: (x + 2).relu())


@case
def zeros():
    return mapped(problem(seed=18), torch.zeros_like)


@case
def one_number():
    return problem(40, 300, 1, seed=19)


@case
def long_rows():
    """Products in several parts, of unequal length."""
    return problem(20, 120, 1300, seed=20, spread=4.0)


@case
def biased_sums():
    """Sums of thousands of equal squares, which float32 rounds the same way each time, nearly tied."""
    p = problem(8, 60, 16384, seed=22, identities=4)
    g = torch.Generator().manual_seed(2)
    gallery = torch.zeros(60, 16384)
    gallery[:, 0] = torch.randint(-8, 8, (60,), generator=g) * 2.0**-17
    query = 0.1 * torch.linspace(1, 3, 8)[:, None].expand(8, 16384).clone()
    return p | {"query": query, "gallery": gallery}


@case
def one_of_each():
    p = problem(1, 1, 3, seed=21)
    return p | {"query_ids": torch.tensor([5]), "gallery_ids": torch.tensor([5]),
                "query_cams": torch.tensor([1]), "gallery_cams": torch.tensor([2])}  # fmt: skip


@case
def no_queries():
    return problem(0, 20, 3)


@case
def no_gallery():
    return problem(20, 0, 3)
