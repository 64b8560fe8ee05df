#pragma once
// Sums among the n positives of one query, directly: n² pairs, no scratch. Right for few positives; for many
// see positives_sorted.h, which forms the same sums in O(n log n).
#include "core/step.h"

namespace drsl {

// Seen from positive i, over the positives j:
template <class T>
struct PositiveSums {
  T* rank;          // rank⁺(i) = Σ_j H(x_ij), i itself counted as 1
  T* error;         // Σ_j H(x_ij)(1 − y_j)
  T* target_rank;   // the same two over {j : y_j ≥ y_i}
  T* target_error;
  T* missorted;     // M(i) = Σ_j H(x_ij) [y_j < y_i]
};

template <class T, class Step>
DRSL_HD void sum_positives(int n, const T* d, const T* y, Step step, PositiveSums<T> out) {
  for (int i = 0; i < n; ++i) {
    T rank = 0, error = 0, target_rank = 0, target_error = 0, missorted = 0;
#pragma omp simd reduction(+ : rank, error, target_rank, target_error, missorted)
    for (int j = 0; j < n; ++j) {
      const T h = j == i ? T(1) : step(d[i] - d[j]);
      const T e = h * (T(1) - y[j]);
      const bool missing = y[j] < y[i];
      rank += h;
      error += e;
      target_rank += missing ? T(0) : h;
      target_error += missing ? T(0) : e;
      missorted += missing ? h : T(0);
    }
    out.rank[i] = rank;
    out.error[i] = error;
    out.target_rank[i] = target_rank;
    out.target_error[i] = target_error;
    out.missorted[i] = missorted;
  }
}

// charge[j] += Σ_i weight[i] H(x_ij) [y_j < y_i]
template <class T, class Step>
DRSL_HD void spread_missorted(int n, const T* d, const T* y, Step step, const T* weight, T* charge) {
  for (int i = 0; i < n; ++i) {
    if (!(weight[i] > T(0)) && !(weight[i] < T(0))) continue;
#pragma omp simd
    for (int j = 0; j < n; ++j) charge[j] += y[j] < y[i] ? weight[i] * step(d[i] - d[j]) : T(0);
  }
}

// pull[j] += Σ_i weight[i] H(x_ij), i = j counted as 1
template <class T, class Step>
DRSL_HD void spread_angles(int n, const T* d, Step step, const T* weight, T* pull) {
  for (int i = 0; i < n; ++i) {
#pragma omp simd
    for (int j = 0; j < n; ++j) pull[j] += weight[i] * (j == i ? T(1) : step(d[i] - d[j]));
  }
}

}  // namespace drsl
