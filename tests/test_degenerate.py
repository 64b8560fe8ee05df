"""NaN, infinity, overflow and underflow: who turns NaN, and who must not."""

import numpy as np
import pytest

from running import check_spoilt, spoilable
from tolerances import (
    F32,
    F64,
)

BACKENDS = pytest.mark.parametrize("backend", ["native", "reference"])
TYPES = pytest.mark.parametrize("dtype", [F64, F32], ids=str)
VALUES = pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)


def share_bad(wanted):
    return wanted.bad.sum() / wanted.counts.sum()


@BACKENDS
@TYPES
@VALUES
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_a_bad_row_of_the_batch_spoils_everyone_who_compares(
    value, reduction, normalize, dtype, backend, device
):
    given = spoilable("pk_sorted")
    given["x"][5, 3] = value
    wanted = check_spoilt(given, dtype, backend, device, reduction=reduction, normalize=normalize)
    assert share_bad(wanted) == 1  # everyone compares with everyone


@BACKENDS
@TYPES
@VALUES
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("delta", [0.0, 0.5])
def test_a_bad_row_that_all_exclude_does_not_leak(value, delta, normalize, dtype, backend, device):
    given = spoilable("pk_sorted")
    given["x"][5] = value
    given["exclude"] = np.zeros((24, 24), bool)
    given["exclude"][5] = given["exclude"][:, 5] = True
    wanted = check_spoilt(
        given, dtype, backend, device, normalize=normalize, delta=delta, reduction="mean"
    )
    assert share_bad(wanted) == 0


@BACKENDS
@TYPES
@VALUES
def test_a_bad_row_spoils_only_those_who_do_not_exclude_it(value, dtype, backend, device):
    given = spoilable("pk_sorted")
    given["x"][5, 0] = value
    given["exclude"] = np.zeros((24, 24), bool)
    given["exclude"][5] = True
    given["exclude"][:20, 5] = True
    wanted = check_spoilt(given, dtype, backend, device)
    np.testing.assert_array_equal(np.flatnonzero(wanted.bad), [20, 21, 22, 23])


@BACKENDS
@TYPES
@VALUES
@pytest.mark.parametrize("normalize", [False, True])
def test_a_bad_query_spoils_itself_and_the_entries_it_compares_with(
    value, normalize, dtype, backend, device
):
    given = spoilable("gallery")
    given["x"][4, 1] = value
    given["exclude"] = np.zeros((10, 37), bool)
    given["exclude"][4, 10:] = True
    given["exclude"][4, :10] = given["gallery_labels"][:10] != given["labels"][4]
    wanted = check_spoilt(given, dtype, backend, device, normalize=normalize)
    assert wanted.bad.sum() == 1
    assert 0 < np.isnan(wanted.grads("none")[1]).all(-1).sum() < 10


@BACKENDS
@TYPES
@VALUES
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_a_bad_query_that_does_not_count_is_nothing(value, reduction, dtype, backend, device):
    given = spoilable("gallery")
    given["x"][4] = value
    given["labels"][4] = 777
    wanted = check_spoilt(given, dtype, backend, device, reduction=reduction)
    assert not wanted.counts[4] and share_bad(wanted) == 0


@BACKENDS
@TYPES
@VALUES
@pytest.mark.parametrize("delta", [0.0, 0.5])
@pytest.mark.parametrize("role", ["positive", "negative"])
def test_a_bad_gallery_entry_spoils_its_comparers_as_positive_and_as_negative(
    value, delta, role, dtype, backend, device
):
    given = spoilable("gallery")
    given["gallery"][7, 2] = value
    given["exclude"] = np.zeros((10, 37), bool)
    related = given["labels"] == given["gallery_labels"][7]
    given["exclude"][:, 7] = ~related if role == "positive" else related
    wanted = check_spoilt(given, dtype, backend, device, delta=delta)
    assert 0 < share_bad(wanted) < 1
    assert (related == wanted.bad)[wanted.counts].all() == (role == "positive")


@BACKENDS
@TYPES
@VALUES
def test_a_bad_own_copy_does_not_leak(value, dtype, backend, device):
    # The bank's copy of query 4 is spoilt: query 4 never looks at it, all others are told not to.
    given = spoilable("bank")
    place = given["self_index"][4]
    given["gallery"][place] = value
    given["exclude"] = np.zeros((10, 47), bool)
    given["exclude"][:, place] = True
    given["exclude"][4, place] = False
    assert share_bad(check_spoilt(given, dtype, backend, device, reduction="mean")) == 0


@BACKENDS
@TYPES
@pytest.mark.parametrize(
    "weights", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.0, 0.0, 0.0)], ids=str
)
def test_a_weight_of_zero_hides_no_nan(weights, dtype, backend, device):
    given = spoilable("gallery")
    given["gallery"][7, 2] = np.nan
    check_spoilt(given, dtype, backend, device, weights=weights)


@BACKENDS
@TYPES
@VALUES
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_a_bad_set_leaves_the_other_sets_alone(value, reduction, dtype, backend, device):
    given = spoilable("sets_3")
    given["x"][1, 2, 0] = value
    wanted = check_spoilt(given, dtype, backend, device, reduction=reduction)
    np.testing.assert_array_equal(wanted.bad.any(-1), [False, True, False])
