#pragma once
// Row's sums over negatives when there are few positives, or when steps are smooth: n operations a
// column, a chunk of columns in registers while all positives look at it.
#include "core/sigmoid.h"
#include "cpu/row.h"

namespace drsl {

template <class T>
DRSL_INLINE double sum_lanes(typename Simd<T>::Vector v) {
  double sum = 0;
  for (int k = 0; k < Simd<T>::kLanes; ++k) sum += double(v[k]);
  return sum;
}

template <class T>
template <class Step>
DRSL_INLINE void Row<T>::sum_negatives_directly(Step step) {
  Vector* const total = reinterpret_cast<Vector*>(accumulator_.get());
  Vector* const steep = total + n;  // of smooth steps
  for (size_t i = 0; i < size_t(n); ++i) {
    u_[i] = step.of_positive(d[i], origin_);
    total[i] = Vector{};
    if constexpr (Step::kSmooth) steep[i] = Vector{};
  }
  for_each_chunk_in_reach([&](T* at, int64_t) DRSL_LAMBDA {
    Vector v[kVectors];
    for (int k = 0; k < kVectors; ++k)
      v[k] = step.of_entry(load(at + k * Simd<T>::kLanes), origin_);
    // for spread_negatives
    for (int k = 0; k < kVectors; ++k) store(at + k * Simd<T>::kLanes, v[k]);
    for (int i = 0; i < n; ++i) {
      Vector sum{}, slopes{};
      for (int k = 0; k < kVectors; ++k) {
        const Vector h = step.at(u_[size_t(i)], v[k]);
        sum = k ? sum + h : h;
        if constexpr (Step::kSmooth) slopes += steepness_of(h);
      }
      total[i] += sum;
      if constexpr (Step::kSmooth) steep[i] += slopes;
    }
  });
  for (int i = 0; i < n; ++i) {
    false_positives[size_t(i)] = T(sum_lanes<T>(total[i]));
    if constexpr (Step::kSmooth) steepness[size_t(i)] = T(sum_lanes<T>(steep[i]));
  }
}

template <class T>
template <class Share>
DRSL_INLINE void Row<T>::spread_negatives_directly(Share share) {
  for (int64_t c = 0; c < columns_ / kChunk; ++c)
    if (!in_reach(c)) std::fill_n(spread + c * kChunk, kChunk, T(0));
  for_each_chunk_in_reach([&](const T* at, int64_t first) DRSL_LAMBDA {
    Vector v[kVectors], sum[kVectors] = {};
    for (int k = 0; k < kVectors; ++k) v[k] = load(at + k * Simd<T>::kLanes);
    for (size_t i = 0; i < size_t(n); ++i)
      for (int k = 0; k < kVectors; ++k) sum[k] += negative_weight[i] * share(u_[i], v[k]);
    for (int k = 0; k < kVectors; ++k) store(spread + first + k * Simd<T>::kLanes, sum[k]);
  });
}

}  // namespace drsl
