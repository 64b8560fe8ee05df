#pragma once
// Sums among the n positives of one query, directly: n² pairs, no scratch. Right for few positives;
// for many see positives_sorted.h, which forms the same sums in O(n log n).
//
// V is a number (a thread looks after one positive) or a SIMD vector (one positive a lane);
// the inner loop runs over the other positives, which all lanes share, so nothing is ever
// summed across lanes.
#include "core/step.h"

namespace drsl {

// Seen from positive i, over the positives j:
template <class P>
struct PositiveSums {
  P rank;         // rank⁺(i) = Σ_j H(x_ij), i itself counted as 1
  P error;        // Σ_j H(x_ij)(1 − y_j)
  P target_rank;  // the same two over {j : y_j ≥ y_i}
  P target_error;
  P missorted;  // M(i) = Σ_j H(x_ij) [y_j < y_i]
};

template <class V, class T, class Step>
DRSL_HD PositiveSums<V> sum_positives(V di, V yi, int n, const T* d, const T* y, Step step) {
  PositiveSums<V> s{};
  for (int j = 0; j < n; ++j) {
    const V h = step(di - d[j]), e = h * (T(1) - y[j]);
    const auto worse = V{} + y[j] < yi;
    s.rank += h;
    s.error += e;
    s.target_rank += worse ? V{} : h;
    s.target_error += worse ? V{} : e;
    s.missorted += worse ? h : V{};
  }
  // j = i was counted as H(0)
  const V own = V{} + (T(1) - step(T(0))), own_error = own * (T(1) - yi);
  s.rank += own;
  s.error += own_error;
  s.target_rank += own;
  s.target_error += own_error;
  return s;
}

// Σ_i weight_i H(x_ij) [y_j < y_i] for positive j
template <class V, class T, class Step>
DRSL_HD V missorted_charge(V dj, V yj, int n, const T* d, const T* y, Step step, const T* weight) {
  V charge{};
  for (int i = 0; i < n; ++i) {
    const V h = weight[i] * step(d[i] - dj);
    charge += yj < V{} + y[i] ? h : V{};
  }
  return charge;
}

// Σ_i weight_i H(x_ij) for positive j, i = j counted as 1
template <class V, class T, class Step>
DRSL_HD V angle_pull(V dj, V own_weight, int n, const T* d, Step step, const T* weight) {
  V pull = own_weight * (T(1) - step(T(0)));
  for (int i = 0; i < n; ++i) pull += weight[i] * step(d[i] - dj);
  return pull;
}

}  // namespace drsl
