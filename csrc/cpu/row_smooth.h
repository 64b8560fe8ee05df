#pragma once
// Row's sums of smooth steps among the positives, directly: n² pairs. sum_negatives has prepared them.
#include "core/sigmoid.h"
#include "cpu/row_direct.h"
#include "cpu/simd_math.h"

namespace drsl {

template <class T>
template <class Step>
DRSL_INLINE void Row<T>::sum_ranks(Step step) {
  with_prepared(step, [&](auto s) DRSL_LAMBDA {
    for_each_vector([&](size_t j) DRSL_LAMBDA { store(&v_[j], s.of_entry(load(&d[j]), origin_)); });
    for (size_t i = 0; i < size_t(n); ++i) {
      double sum = 1;
      for (size_t j = 0; j < size_t(n); j += Simd<T>::kLanes) {
        const Vector h = s.at(u_[i], load(&v_[j]));
        for (size_t k = 0; k < size_t(Simd<T>::kLanes) && j + k < size_t(n); ++k)
          sum += j + k == i ? 0.0 : double(h[k]);
      }
      sums.rank[i] = T(sum);
    }
  });
}

template <class T>
template <class Step>
DRSL_INLINE void Row<T>::spread_ranks(Step step) {
  with_prepared(step, [&](auto s) DRSL_LAMBDA {
    for_each_vector([&](size_t j) DRSL_LAMBDA {
      const Vector v = load(&v_[j]), own = load(&rank_weight[j]);
      Vector pull{};
      for (size_t i = 0; i < size_t(n); ++i)
        pull += (rank_weight[i] - own) * steepness_of(s.at(u_[i], v));
      store(&grad_distance[j], load(&grad_distance[j]) + pull * step.slope);
    });
  });
}

template <class T>
template <class Step>
DRSL_INLINE void Row<T>::spread_slopes(Step step) {
  for (size_t i = 0; i < size_t(n); ++i) negative_weight[i] *= step.slope;
  with_prepared(step, [&](auto s) DRSL_LAMBDA {
    spread_negatives_directly([&](T u, Vector v) DRSL_LAMBDA { return steepness_of(s.at(u, v)); });
  });
}

}  // namespace drsl
