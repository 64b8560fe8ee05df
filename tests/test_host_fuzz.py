"""The fuzz tests' problems, run by the CUDA kernels on host threads in every order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cases_scores import LOSSES
from drawn_problems import problems
from fuzz_kit import LONG, fuzz
from on_host_threads import ORDERS, on_host_threads
from test_fuzz import check
from test_scores_fuzz import check as check_scores
from test_scores_fuzz import problems as score_problems

pytestmark = pytest.mark.skipif(not LONG, reason="with HYPOTHESIS_PROFILE=long only")


@fuzz(200)
@given(problems(), st.sampled_from(ORDERS))
def test_kernels_give_what_the_oracle_gives(problem, order):
    with on_host_threads(order):
        check(problem, "native")


@fuzz(60)
@given(score_problems(), st.sampled_from(LOSSES), st.sampled_from(ORDERS))
def test_kernels_of_losses_on_scores_give_what_the_oracle_gives(problem, loss, order):
    with on_host_threads(order):
        check_scores(problem, loss, "native")
