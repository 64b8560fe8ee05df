"""drsl_cuda.distributed: several ranks compute what one process with the whole batch would."""

import pytest
import torch

import distributed_table
from distributed_kit import CHECKS, run_all

MODULES = ("distributed_table",)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return run_all(tmp_path_factory.mktemp("ranks"), MODULES)


@pytest.mark.parametrize("name", CHECKS)
def test_ranks_together(results, name):
    failed = {rank: error for rank, error in results[name].items() if error is not None}
    assert not failed, "\n".join(f"rank {rank}: {error}" for rank, error in failed.items())
