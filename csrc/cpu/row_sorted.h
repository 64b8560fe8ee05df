#pragma once
// Row's sums over negatives when there are many positives. The positives are sorted by distance, so
// a negative j is noticed by a tail of them: in part (½ + (d_i − d_j)/2δ) from place a(j) on, in
// full from b(j) on,
//
//   a(j) = first i with d_i > d_j − δ          b(j) = first i with d_i ≥ d_j + δ          (δ = 0: a
//   = b)
//
// Distances enter as places (close_gaps), those of negatives seen from the first positive that
// notices. Adding 1 and d_j to histograms at a and b makes N_FP a prefix sum; its transpose, what j
// is charged with, is a difference of suffix sums of the weights at a and b. O(log n) a negative
// instead of n.
#include <cmath>

#include "cpu/row_direct.h"

namespace drsl {

template <class T>
DRSL_INLINE void Row<T>::collect_negatives() {
  T* const negative = negative_.data();
  int32_t* const column_of = negative_column_.data();
  int count = 0;
  for_each_chunk_in_reach([&](const T* at, int64_t first) DRSL_LAMBDA {
    for (int64_t k = 0; k < kChunk; ++k) {  // written in any case, kept if it counts
      negative[count] = at[k];
      column_of[count] = int32_t(first + k);
      count += at[k] <= reach_;
    }
  });
  noticed_ = count;
}

template <class T>
template <class Step>
DRSL_INLINE void Row<T>::sum_negatives_sorted(Step step) {
  collect_negatives();
  const size_t size = size_t(n) + 1;
  std::vector<double>& full = count_;
  full.assign(size, 0);
  close_gaps(n, d.data(), step.half_width, closed_);
  weight_.assign(size, 0);
  moment_.assign(size, 0);
  for (int first = 0; first < noticed_; first += int(kChunk)) {
    const int count = std::min(int(kChunk), noticed_ - first);
    const T* const at = negative_.data() + first;
    int32_t* const a = first_partly_.data() + first;
    int32_t* const b = first_fully_.data() + first;
    // δ = 0: those not nearer
    sorted_.template places<!is_hard<Step>>(count, at, -step.half_width, a);
    sorted_.template places<false>(count, at, step.half_width, b);
    for (int k = 0; k < count; ++k) {
      b[k] = b[k] < a[k] ? a[k] : b[k];
      const double v = a[k] < b[k] ? closed_place(at[k], size_t(a[k])) : 0.0;
      weight_[size_t(a[k])] += 1;
      weight_[size_t(b[k])] -= 1;
      moment_[size_t(a[k])] += v;
      moment_[size_t(b[k])] -= v;
      full[size_t(b[k])] += 1;
    }
  }
  double fully = 0, partly = 0, moment = 0;
  for (size_t i = 0; i < size_t(n); ++i) {
    fully += full[i];
    partly += weight_[i];
    moment += moment_[i];
    const double window = (partly * closed_[i] - moment) * double(step.slope);
    false_positives[i] = T(std::max(0.0, fully + partly * 0.5 + window));
  }
}

template <class T>
template <class Step>
DRSL_INLINE void Row<T>::spread_negatives_sorted(Step step) {
  weight_.assign(size_t(n) + 1, 0);
  moment_.assign(size_t(n) + 1, 0);
  for (size_t i = size_t(n); i-- > 0;) {
    weight_[i] = weight_[i + 1] + double(negative_weight[i]);
    moment_[i] = moment_[i + 1] + double(negative_weight[i]) * closed_[i];
  }
  std::fill_n(spread, columns_, T(0));
  for (size_t k = 0; k < size_t(noticed_); ++k) {
    const auto a = size_t(first_partly_[k]), b = size_t(first_fully_[k]);
    double charge = weight_[b];
    if (a < b) {
      const double v = closed_place(negative_[k], a);
      charge += (weight_[a] - weight_[b]) * (0.5 - v * double(step.slope)) +
                (moment_[a] - moment_[b]) * double(step.slope);
    }
    spread[negative_column_[k]] = T(charge);
  }
}

}  // namespace drsl
