#pragma once
// The piece of a score (edges.h): a table of equal intervals says where to begin, and as many
// halvings as its fullest interval needs find the rest. All entries search together, in lanes; no
// branch depends on the data. Scores that crowd in one interval cost a binary search, no more.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "core/host_device.h"

namespace drsl {

template <class T>
class PieceFinder {
 public:
  // `edges` ascending and finite, count > 0
  void assign(int count, const T* edges) {
    int intervals = 1;
    while (intervals < kIntervalsPerEdge * count) intervals *= 2;
    low_ = edges[0];
    high_ = edges[count - 1];
    scale_ = T(intervals) / (high_ - low_);
    // too close together or too far apart to be told apart like this
    const bool usable = scale_ > T(0) && scale_ < std::numeric_limits<T>::max();
    last_ = usable ? T(intervals - 1) : T(0);
    scale_ = usable ? scale_ : T(0);

    first_.assign(size_t(intervals) + 1, 0);
    for (int e = 0; e < count; ++e) ++first_[size_t(interval(edges[e])) + 1];
    const int fullest = *std::max_element(first_.begin(), first_.end());
    for (int b = 0; b < intervals; ++b) first_[size_t(b) + 1] += first_[size_t(b)];
    span_ = 1;
    while (span_ <= fullest) span_ *= 2;
    edges_.assign(edges, edges + count);
    edges_.resize(size_t(count + span_), std::numeric_limits<T>::infinity());
  }

  // piece[k] = how many edges are ≤ key[k]. No key is NaN.
  DRSL_HD void places(int keys, const T* key, int32_t* piece) const {
    const T* const edges = edges_.data();
    const int32_t* const first = first_.data();
#pragma omp simd
    for (int k = 0; k < keys; ++k) piece[k] = first[interval(key[k])];
    for (int32_t half = span_ / 2; half > 0; half /= 2)
#pragma omp simd
      for (int k = 0; k < keys; ++k) piece[k] += edges[piece[k] + half - 1] <= key[k] ? half : 0;
  }

 private:
  static constexpr int kIntervalsPerEdge = 2;

  DRSL_HD int32_t interval(T x) const {
    x = x > low_ ? x : low_;
    x = (x < high_ ? x : high_) - low_;
    x *= scale_;
    return int32_t(x < last_ ? x : last_);
  }

  std::vector<T> edges_;        // padded with +∞
  std::vector<int32_t> first_;  // how many edges lie below interval b
  T low_ = 0, high_ = 0, scale_ = 0, last_ = 0;
  int32_t span_ = 1;  // a power of two above the number of edges in any interval
};

}  // namespace drsl
