"""How problems are run on a GPU: decided from shapes alone, so it can be asked without one."""

import pytest

from drsl_cuda import _ops, build_info

pytestmark = pytest.mark.skipif(not build_info()["cuda"], reason="built without CUDA")

MIB = 2**20


def plan(rows, dim, columns=None, *, sets=1, gradient=True, item=4, normalize=False):
    return _ops.library.plan(
        device="cuda", sets=sets, rows=rows, columns=rows if columns is None else columns, dim=dim,
        self=columns is None, gradient=gradient, item=item, normalize=normalize,
    )  # fmt: skip


@pytest.mark.parametrize(
    "rows, path",
    [
        (1, "small"),
        (512, "small"),
        (513, "in memory"),
        (16384, "in memory"),
        (16385, "streaming"),
    ],
)
def test_a_batch_goes_the_way_of_its_size(rows, path):
    assert plan(rows, 64)["path"] == path


def test_queries_against_a_gallery_are_streamed():
    few = plan(64, 2048, 55_000)
    assert few["path"] == "streaming" and few["block_rows"] == 64
    assert plan(20_000, 2048, 55_000)["block_rows"] < 20_000


@pytest.mark.parametrize("sizes", [{"rows": 0}, {"rows": 5, "columns": 0}, {"rows": 5, "sets": 0}])
def test_nothing_needs_nothing(sizes):
    nothing = plan(dim=8, **sizes)
    assert nothing["path"] == "empty" and nothing["workspace_bytes"] == 0


def test_many_sets_of_a_small_batch_stay_one_problem():
    assert plan(64, 768, sets=8)["path"] == "small"
    assert plan(64, 768, sets=8)["sets"] == 8
    # a slot of scratch for every query would be too much
    assert plan(512, 16, sets=100)["path"] == "in memory"


def test_rows_too_long_for_a_grid_are_not_small():
    assert plan(64, 2**20)["path"] == "small" and plan(64, 2**20 + 1)["path"] == "in memory"


def test_workspace_stays_within_what_is_promised():
    # Coefficients, their angular parts and slots for many positives; the gradient (128 MiB) comes on top.
    assert plan(65_536, 512)["workspace_bytes"] <= 850 * MIB
    assert plan(262_144, 128)["workspace_bytes"] <= 1200 * MIB  # the matrix would be 256 GiB
    assert plan(64, 2048)["workspace_bytes"] <= 16 * MIB


def test_no_gradient_no_room_for_it():
    assert plan(4096, 64, gradient=False)["workspace_bytes"] < plan(4096, 64)["workspace_bytes"]
    assert plan(4096, 64, normalize=True)["workspace_bytes"] > plan(4096, 64)["workspace_bytes"]
