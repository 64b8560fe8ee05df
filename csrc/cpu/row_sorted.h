#pragma once
// Row's sums over negatives when there are many positives. The positives are sorted by distance, so a negative j
// is noticed by a tail of them: in part (½ + (d_i − d_j)/2δ) from place a(j) on, in full from b(j) on,
//
//   a(j) = first i with d_i > d_j − δ          b(j) = first i with d_i ≥ d_j + δ          (δ = 0: a = b)
//
// Adding 1 and d_j to histograms at a and b makes N_FP a prefix sum; its transpose, what j is charged with, is a
// difference of suffix sums of the weights at a and b. O(log n) a negative instead of n.
#include <cmath>

#include "cpu/row.h"

namespace drsl {

// Finds places in sorted numbers: a table of n equal cells narrows the search, to O(1) if they spread evenly.
template <class T>
class PlaceFinder {
 public:
  PlaceFinder(const T* sorted, int n, std::vector<int>& start) : sorted_(sorted), n_(n), start_(start) {
    const double span = double(sorted[n - 1]) - double(sorted[0]);
    scale_ = span > 0 && std::isfinite(n / span) ? n / span : 0;
    start_.assign(size_t(n) + 2, 0);
    for (int i = 0; i < n; ++i) ++start_[size_t(cell(sorted[i])) + 1];
    for (int c = 0; c <= n; ++c) start_[size_t(c) + 1] += start_[size_t(c)];
  }
  int first_above(T key) const {
    const Range r = range(key);
    return int(std::upper_bound(r.begin, r.end, key) - sorted_);
  }
  int first_not_below(T key) const {
    const Range r = range(key);
    return int(std::lower_bound(r.begin, r.end, key) - sorted_);
  }

 private:
  struct Range {
    const T* begin;
    const T* end;
  };
  const T* sorted_;
  int n_;
  std::vector<int>& start_;
  double scale_;

  int cell(T key) const {  // ascending in key
    const double c = (double(key) - double(sorted_[0])) * scale_;
    return c > 0 ? c < n_ ? int(c) : n_ : 0;
  }
  Range range(T key) const {
    if (key < sorted_[0]) return {sorted_, sorted_};
    const auto c = size_t(cell(key));
    return {sorted_ + start_[c], sorted_ + start_[c + 1]};
  }
};

template <class T>
template <class Step>
void Row<T>::sum_negatives_sorted(Step step) {
  const size_t size = size_t(n) + 1;
  std::vector<double>& full = count_;
  full.assign(size, 0);
  weight_.assign(size, 0);
  moment_.assign(size, 0);
  const PlaceFinder<T> find(d.data(), n, cell_);
  for_each_chunk_in_reach([&](const T* at, int64_t first) {
    for (int64_t k = 0; k < kChunk; ++k) {
      int32_t* place = place_.data() + 2 * (first + k);
      place[0] = place[1] = int32_t(n);
      if (!(at[k] <= reach_) || std::isinf(at[k])) continue;
      const double v = double(at[k]) - double(d[0]);
      if constexpr (is_hard<Step>) {
        place[0] = place[1] = find.first_not_below(at[k]);
      } else {
        place[0] = find.first_above(at[k] - step.half_width);
        place[1] = std::max(place[0], find.first_not_below(at[k] + step.half_width));
        weight_[size_t(place[0])] += 1;
        weight_[size_t(place[1])] -= 1;
        moment_[size_t(place[0])] += v;
        moment_[size_t(place[1])] -= v;
      }
      full[size_t(place[1])] += 1;
    }
  });
  double fully = 0, partly = 0, moment = 0;
  for (size_t i = 0; i < size_t(n); ++i) {
    fully += full[i];
    partly += weight_[i];
    moment += moment_[i];
    const double u = double(d[i]) - double(d[0]);
    false_positives[i] = T(std::max(0.0, fully + partly * 0.5 + (partly * u - moment) * double(step.slope)));
  }
}

template <class T>
template <class Step>
void Row<T>::spread_negatives_sorted(Step step) {
  weight_.assign(size_t(n) + 1, 0);
  moment_.assign(size_t(n) + 1, 0);
  for (size_t i = size_t(n); i-- > 0;) {
    weight_[i] = weight_[i + 1] + double(negative_weight[i]);
    moment_[i] = moment_[i + 1] + double(negative_weight[i]) * (double(d[i]) - double(d[0]));
  }
  std::fill_n(spread, columns_, T(0));
  for_each_chunk_in_reach([&](const T* at, int64_t first) {
    for (int64_t k = 0; k < kChunk; ++k) {
      const auto a = size_t(place_[size_t(2 * (first + k))]), b = size_t(place_[size_t(2 * (first + k) + 1)]);
      double charge = weight_[b];
      if (a < b) {
        const double v = double(at[k]) - double(d[0]);
        charge += (weight_[a] - weight_[b]) * (0.5 - v * double(step.slope)) +
                  (moment_[a] - moment_[b]) * double(step.slope);
      }
      spread[first + k] = T(charge);
    }
  });
}

}  // namespace drsl
