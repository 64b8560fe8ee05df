"""The oracle itself, against examples small enough to work out by hand in the comments."""

import numpy as np
import pytest

import oracle


def one_query(d, y, positives, negatives, delta=0.5, weights=(1.0, 1.0, 1.0)):
    return oracle.drsl_query(
        np.array(d, float),
        np.array(y, float),
        np.array(positives, int),
        np.array(negatives, int),
        delta,
        weights,
    )


def test_step_is_a_ramp_of_width_two_delta_and_a_jump_at_zero_width():
    x = np.array([-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0])
    np.testing.assert_array_equal(oracle.step(x, 0.5), [0, 0, 0.25, 0.5, 0.75, 1, 1])
    np.testing.assert_array_equal(oracle.step(x, 0.0), [0, 0, 0, 1, 1, 1, 1])


def test_one_positive_behind_one_negative():
    # d = (2 positive, 1 negative): H(2 − 1) = 1, so N_FP = 1, rank⁺ = 1, rank = 2, ℓ_R = 1/2.
    # Alone among the positives: ℓ_S = 1 − y = 0.25 = its target, so the sorting excess is 0.
    # ∂/∂d_pos = ℓ_R = 1/2; ∂/∂d_neg = −H/rank = −1/2; ∂/∂y_pos = −1/rank⁺ = −1.
    terms, by_d, by_y = one_query([2, 1], [0.75, 0.5], [0], [1])
    np.testing.assert_allclose(terms, [0.5, 0.0, 0.25], rtol=1e-15)
    np.testing.assert_allclose(by_d, [0.5, -0.5], rtol=1e-15)
    np.testing.assert_allclose(by_y, [-1.0, 0.0], rtol=1e-15)


def test_inside_the_ramp_the_step_counts_in_part():
    # d_pos − d_neg = 0.25 with δ = 0.5: H = 0.75; rank = 1.75; ℓ_R = 0.75/1.75 = 3/7.
    terms, by_d, _ = one_query([1.25, 1.0], [0.5, 0.5], [0], [1], weights=(2.0, 1.0, 1.0))
    np.testing.assert_allclose(terms, [3 / 7, 0, 0.5], rtol=1e-15)
    np.testing.assert_allclose(by_d, [6 / 7, -6 / 7], rtol=1e-15)


def test_two_positives_sorted_against_their_angles():
    # δ = 0. Positive a: d = 2, y = 0.9. Positive b: d = 1, y = 0.5. No negatives.
    # i = a: H_aa = 1, H_ab = 1 (b is closer). ℓ_S = (0.1 + 0.5)/2 = 0.3. Target over y ≥ 0.9: 0.1.
    #        excess 0.2; b has y < 0.9 and H = 1, M = 1, so S_ab = 0.2.
    # i = b: H_ba = 0. ℓ_S = 0.5. Target over {a, b} with H = (0, 1): 0.5. Excess 0, M = 0.
    # terms: ranking 0, sorting (0.2 + 0)/2 = 0.1, angle (0.3 + 0.5)/2 = 0.4.
    # ∂/∂d_a = S_ab/2 = 0.1, ∂/∂d_b = −0.1.
    # ∂/∂y_a = −(1/2)(1/2) = −0.25 (rank⁺(a) = 2); ∂/∂y_b = −(1/2)(1/2 + 1/1) = −0.75.
    terms, by_d, by_y = one_query([2, 1], [0.9, 0.5], [0, 1], [], delta=0.0)
    np.testing.assert_allclose(terms, [0.0, 0.1, 0.4], rtol=1e-14, atol=1e-16)
    np.testing.assert_allclose(by_d, [0.1, -0.1], rtol=1e-14)
    np.testing.assert_allclose(by_y, [-0.25, -0.75], rtol=1e-14)


def test_ties_of_the_angle_belong_to_the_target_and_move_nothing():
    # Both y = 0.5: everything is in the target of everything, so ℓ_S = ℓ_S* and no update.
    terms, by_d, _ = one_query([2, 1], [0.5, 0.5], [0, 1], [], delta=0.0)
    assert terms[1] == 0.0
    np.testing.assert_array_equal(by_d, [0.0, 0.0])


def test_at_delta_zero_an_equal_distance_counts_in_full():
    # H_0(0) = 1: N_FP = 1, rank 2. At δ = 0.5 it is H = 1/2: N_FP = 1/2, rank 3/2, ℓ_R = 1/3.
    at_zero, _, _ = one_query([1, 1], [0.5, 0.5], [0], [1], delta=0.0)
    at_half, _, _ = one_query([1, 1], [0.5, 0.5], [0], [1], delta=0.5)
    assert at_zero[0] == 0.5
    assert at_half[0] == pytest.approx(1 / 3, rel=1e-15)


def test_three_way_example_of_the_sort_term():
    # δ = 0, positives d = (3, 2, 1), y = (0.8, 0.6, 0.4), no negatives. (1 − y) = (0.2, 0.4, 0.6).
    # i = 0: H = (1, 1, 1); ℓ_S = 0.4; target {0}: 0.2; excess 0.2; M = 2; S_01 = S_02 = 0.1.
    # i = 1: H = (0, 1, 1); ℓ_S = 0.5; target {0, 1} → 0.4; excess 0.1; M = 1; S_12 = 0.1.
    # i = 2: H = (0, 0, 1); ℓ_S = 0.6; target 0.6; excess 0.
    # ∂/∂d = (0.2, 0.1 − 0.1, −0.1 − 0.1)/3 = (0.2, 0, −0.2)/3.
    terms, by_d, _ = one_query([3, 2, 1], [0.8, 0.6, 0.4], [0, 1, 2], [], delta=0.0)
    np.testing.assert_allclose(terms, [0, 0.1, 0.5], rtol=1e-14, atol=1e-16)
    np.testing.assert_allclose(by_d, [0.2 / 3, 0, -0.2 / 3], rtol=1e-14, atol=1e-16)


def test_pairwise_of_a_right_triangle():
    # (3, 0) and (0, 4): distance 5, cosine 0. (3, 0) and (−3, 0): distance 6, cosine −1.
    distance, cosine = oracle.pairwise(np.array([[3.0, 0.0], [0.0, 4.0], [-3.0, 0.0], [0.0, 0.0]]))
    np.testing.assert_allclose(distance[0], [0, 5, 6, 3], rtol=1e-15)
    np.testing.assert_allclose(cosine[0], [1, 0, -1, 0], atol=1e-15)
    np.testing.assert_array_equal(cosine[3], 0.0)


@pytest.mark.parametrize("scale", [1e-290, 1e-120, 1.0, 1e120, 1e290])
def test_norms_neither_overflow_nor_underflow(scale):
    np.testing.assert_allclose(
        oracle.norms(np.array([[3.0, 4.0]]) * scale), 5.0 * scale, rtol=1e-14
    )


def test_chain_rule_of_one_pair():
    # x = (3, 0), r = (0, 4), d = 5. ∂d/∂x = (x − r)/d = (0.6, −0.8). cos = 0, so
    # ∂cos/∂x = r̂/|x| = (0, 1/3) and ∂cos/∂r = x̂/|r| = (1/4, 0).
    x, r = np.array([[3.0, 0.0]]), np.array([[0.0, 4.0]])
    one, none = np.ones((1, 1)), np.zeros((1, 1))
    grad_x, grad_r = oracle.redistribute(one, none, x, r)
    np.testing.assert_allclose(grad_x, [[0.6, -0.8]], rtol=1e-15)
    np.testing.assert_allclose(grad_r, [[-0.6, 0.8]], rtol=1e-15)
    grad_x, grad_r = oracle.redistribute(none, one, x, r)
    np.testing.assert_allclose(grad_x, [[0, 1 / 3]], atol=1e-16)
    np.testing.assert_allclose(grad_r, [[1 / 4, 0]], atol=1e-16)


def test_normalisation_removes_the_radial_part():
    # x = (0, 2), g = (1, 7): the radial 7 goes, the tangential 1 is divided by |x| = 2.
    out = oracle.through_normalisation(
        np.array([[1.0, 7.0], [1.0, 1.0]]), np.array([[0.0, 2.0], [0, 0]])
    )
    np.testing.assert_allclose(out, [[0.5, 0.0], [0.0, 0.0]], atol=1e-16)


def test_the_own_copy_and_excluded_pairs_are_neither_positive_nor_negative():
    labels = np.array([7, 7, 8, 7])
    exclude = np.zeros((4, 4), bool)
    exclude[0, 3] = True
    positives, negatives = oracle.partners(0, labels, labels, np.arange(4), exclude)
    np.testing.assert_array_equal(positives, [1])
    np.testing.assert_array_equal(negatives, [2])


def test_mean_divides_by_the_queries_that_count():
    # Points on a line, label 0 twice, label 1 once: two queries count, each has loss computed above.
    # q0 at 0: positive at 2, negative at 1 → ranking 1/2. q1 at 2: positive d = 2, negative d = 1 → 1/2.
    x = np.array([[0.0, 1.0], [2.0, 1.0], [1.0, 1.0]])
    result = oracle.drsl(x, np.array([0, 0, 1]), weights=(1.0, 0.0, 0.0))
    np.testing.assert_array_equal(result.counts, [True, True, False])
    np.testing.assert_allclose(result.reduced("none"), [0.5, 0.5, 0.0], rtol=1e-15)
    assert result.reduced("sum") == pytest.approx(1.0, rel=1e-15)
    assert result.reduced("mean") == pytest.approx(0.5, rel=1e-15)
    # q0 pulls x1 closer by ½ and pushes x2 away by ½ along the line; q1 the mirror image. In `sum`:
    # x0: −½ (to x1) + ½ (from x2) = 0 from q0; + (−½) from q1. Likewise x1: ½. x2: ±½ cancel to 0.
    grad, _ = result.grads("sum")
    np.testing.assert_allclose(grad, [[-0.5, 0], [0.5, 0], [0, 0]], atol=1e-15)


def test_the_surrogate_has_the_redistributed_gradient():
    rng = np.random.default_rng(3)
    d, y = rng.uniform(1, 3, 9), rng.uniform(0, 1, 9)
    positives, negatives = np.arange(4), np.arange(4, 9)
    weights = (0.7, 1.3, 0.4)
    _, by_d, by_y = oracle.drsl_query(d, y, positives, negatives, 0.5, weights)

    def value(dd, yy):
        return oracle.drsl_surrogate(dd, yy, d, y, positives, negatives, 0.5, weights)

    for k in range(9):
        nudge = np.eye(9)[k] * 1e-3  # the surrogate is linear, so any step is exact
        slope_d = (value(d + nudge, y) - value(d - nudge, y)) / 2e-3
        slope_y = (value(d, y + nudge) - value(d, y - nudge)) / 2e-3
        assert slope_d == pytest.approx(by_d[k], abs=1e-12)
        assert slope_y == pytest.approx(by_y[k], abs=1e-12)


def test_a_bad_query_is_nan_and_marks_only_what_it_compares_with():
    # Query 0 is NaN and has a positive; query 1 has no positive, so it stays 0. Gallery entry 2 is
    # excluded from both and holds infinity.
    x = np.array([[np.nan, 0.0], [1.0, 1.0]])
    gallery = np.array([[1.0, 0.0], [0.0, 1.0], [np.inf, 0.0]])
    exclude = np.array([[False, True, True], [False, False, True]])
    result = oracle.drsl(x, np.array([0, 5]), gallery, np.array([0, 1, 0]), exclude=exclude)
    np.testing.assert_array_equal(np.isnan(result.loss), [True, False])
    grad_x, grad_r = result.grads("sum")
    np.testing.assert_array_equal(np.isnan(grad_x).all(-1), [True, False])
    np.testing.assert_array_equal(np.isnan(grad_r).all(-1), [True, False, False])
    np.testing.assert_array_equal(grad_x[1], 0.0)
    np.testing.assert_array_equal(grad_r[1:], 0.0)
