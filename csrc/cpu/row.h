#pragma once
// One query's row on one thread: the CPU's answer to what a policy (core/losses/) asks of a row.
//
// Left-out entries (own copy, excluded, padding) and the positives themselves stand at distance +∞
// among the columns, where every step is 0: the loops over negatives have no conditions.
#include <algorithm>
#include <limits>
#include <numeric>
#include <type_traits>
#include <vector>

#include "core/positives.h"
#include "core/positives_sorted.h"
#include "core/step.h"
#include "cpu/memory.h"
#include "cpu/simd.h"

namespace drsl {

// columns taken together: a word of flags, four AVX-512 vectors of float
constexpr int64_t kChunk = 64;
constexpr int kSortedFrom = 128;  // positives: from here on sums are formed in O(n log n)

template <class T>
class Row {
 public:
  Row(int64_t columns, int64_t most_positives)
      : distance(columns), chunk_min_(size_t(columns / kChunk)) {
    const int64_t lanes = Simd<T>::kLanes;
    // whole vectors are read and written
    const size_t n = size_t((most_positives + lanes - 1) / lanes * lanes);
    for (std::vector<T>* v : {&d, &y, &false_positives, &grad_distance, &grad_angle,
                              &negative_weight, &missorted_weight, &angle_weight, &rank_, &error_,
                              &target_rank_, &target_error_, &missorted_, &u_})
      v->resize(n);
    column.resize(n);
    cosine.resize(n);
    near.resize(n);
    sums = {rank_.data(), error_.data(), target_rank_.data(), target_error_.data(),
            missorted_.data()};
    accumulator_ = Buffer<T>(std::min<int64_t>(most_positives, kSortedFrom) * Simd<T>::kLanes);
    if (most_positives >= kSortedFrom) place_.resize(size_t(2 * columns));
    columns_ = columns;
  }

  // --- filled in by whoever loads the row
  // --------------------------------------------------------------
  Buffer<T> distance;           // [columns], a multiple of kChunk; sum_negatives may spoil it
  std::vector<T> d, y;          // [n] distance and angle of the positives
  std::vector<int32_t> column;  // [n] where they stand
  std::vector<double> cosine;   // [n]
  std::vector<uint8_t> near;    // [n]
  int n = 0;
  // [columns] Σ_i negative_weight[i] H(d_i − d_j) goes here: what j is charged with
  T* spread = nullptr;

  // --- what a policy reads and writes
  // ---------------------------------------------------------------------
  PositiveSums<T*> sums;
  std::vector<T> false_positives, grad_distance, grad_angle;
  std::vector<T> negative_weight, missorted_weight, angle_weight;
  double terms[3];

  int count() const { return n; }
  // Whether the last step that was summed reaches any entry of the chunk.
  bool in_reach(int64_t chunk) const { return chunk_min_[size_t(chunk)] <= reach_; }

  template <class F>
  DRSL_INLINE void for_each_positive(F f) const {
    for (size_t i = 0; i < size_t(n); ++i) f(i);
  }

  DRSL_INLINE void add_terms(size_t, T a, T b, T c) {
    terms[0] += double(a);
    terms[1] += double(b);
    terms[2] += double(c);
  }

  // After d, y, column, cosine, near and distance are in place.
  DRSL_INLINE void begin(T* charges) {
    spread = charges;
    terms[0] = terms[1] = terms[2] = 0;
    for (int64_t c = 0; c < columns_ / kChunk; ++c) {
      chunk_min_[size_t(c)] = least(distance.get() + c * kChunk);
    }
    if (n >= kSortedFrom) sort_positives();
  }

  template <class Step>
  DRSL_INLINE void sum_negatives(Step step) {
    T nearest = d[0], farthest = d[0];
    for (size_t i = 1; i < size_t(n); ++i) {
      nearest = std::min(nearest, d[i]);
      farthest = std::max(farthest, d[i]);
    }
    reach_ = farthest + step.half_width;
    origin_ = nearest;
    prepared_ = (farthest - nearest + step.half_width) * step.slope < kWidest;
    if (n >= kSortedFrom)
      sum_negatives_sorted(step);
    else if (prepared_)
      sum_negatives_directly(step);
    else
      sum_negatives_directly(PairByPair<T, Step>{step});
  }

  template <class Step>
  DRSL_INLINE void sum_positives(Step step) {
    if (n >= kSortedFrom) {
      auto& sorted = sorted_positives<Step>();
      sorted.assign(n, d.data(), y.data(), step, sorted_);
      sorted.sums(sums);
    } else {
      for_each_vector([&](size_t i) DRSL_LAMBDA {
        const auto s = drsl::sum_positives(load(&d[i]), load(&y[i]), n, d.data(), y.data(), step);
        store(sums.rank + i, s.rank);
        store(sums.error + i, s.error);
        store(sums.target_rank + i, s.target_rank);
        store(sums.target_error + i, s.target_error);
        store(sums.missorted + i, s.missorted);
      });
    }
  }

  // Each positive's error is handed to what causes it: grad_distance −= what it is charged with.
  template <class Step>
  DRSL_INLINE void spread_missorted(Step step) {
    T* const charge = rank_.data();  // the sums have been read
    if (n >= kSortedFrom) {
      sorted_positives<Step>().spread_missorted(missorted_weight.data(), charge);
    } else {
      for_each_vector([&](size_t j) DRSL_LAMBDA {
        store(charge + j, missorted_charge(load(&d[j]), load(&y[j]), n, d.data(), y.data(), step,
                                           missorted_weight.data()));
      });
    }
    for (size_t i = 0; i < size_t(n); ++i) grad_distance[i] -= charge[i];
  }

  template <class Step>
  DRSL_INLINE void spread_angles(Step step) {
    if (n >= kSortedFrom) {
      sorted_positives<Step>().spread_angles(angle_weight.data(), grad_angle.data());
    } else {
      for_each_vector([&](size_t j) DRSL_LAMBDA {
        store(&grad_angle[j], angle_pull(load(&d[j]), load(&angle_weight[j]), n, d.data(), step,
                                         angle_weight.data()));
      });
    }
    for (size_t i = 0; i < size_t(n); ++i) grad_angle[i] = -grad_angle[i];
  }

  template <class Step>
  DRSL_INLINE void spread_negatives(Step step) {
    if (n >= kSortedFrom)
      spread_negatives_sorted(step);
    else if (prepared_)
      spread_negatives_directly(step);
    else
      spread_negatives_directly(PairByPair<T, Step>{step});
  }

 private:
  using Vector = typename Simd<T>::Vector;
  static constexpr int kVectors = kChunk / Simd<T>::kLanes;
  // |u| of prepared steps: their rounding stays below 4e-6 in float32
  static constexpr T kWidest = 64;

  int64_t columns_;
  std::vector<T> chunk_min_;  // smallest distance of each chunk
  T reach_ = 0;               // beyond this distance, no positive notices a negative
  T origin_ = 0;              // distance of the nearest positive
  bool prepared_ = false;
  Buffer<T> accumulator_;
  std::vector<T> u_;  // [n] what steps know of the positives
  std::vector<T> rank_, error_, target_rank_, target_error_, missorted_;

  SortedPositives<T, Ramp<T>> ramp_;
  SortedPositives<T, Hard<T>> hard_;
  RadixOrder<T> by_distance_;
  std::vector<int32_t> order_;
  // [2 · columns] of each negative: first positive that notices, that fully notices
  std::vector<int32_t> place_;
  std::vector<double> count_, weight_, moment_;
  std::vector<double> closed_;  // places of the positives
  SortedNumbers<T> sorted_;     // d

  template <class Step>
  SortedPositives<T, Step>& sorted_positives() {
    if constexpr (is_hard<Step>)
      return hard_;
    else
      return ramp_;
  }

  template <class F>
  DRSL_INLINE void for_each_vector(F f) const {
    for (int i = 0; i < n; i += Simd<T>::kLanes) f(size_t(i));
  }

  // Smallest of a chunk of numbers ≥ 0.
  static DRSL_INLINE T least(const T* at) {
    using Order = OrderOf<T>;
    auto m = Order::bits(load(at));
    for (int k = Simd<T>::kLanes; k < kChunk; k += Simd<T>::kLanes)
      m = Order::least(m, Order::bits(load(at + k)));
    T lane[Simd<T>::kLanes];
    store(lane, Order::number(m));
    for (int half = Simd<T>::kLanes / 2; half; half /= 2)
      for (int k = 0; k < half; ++k) lane[k] = lane[k] < lane[k + half] ? lane[k] : lane[k + half];
    return lane[0];
  }

  template <class Step>
  DRSL_INLINE void sum_negatives_directly(Step step) {
    Vector* const total = reinterpret_cast<Vector*>(accumulator_.get());
    for (size_t i = 0; i < size_t(n); ++i) {
      u_[i] = step.of_positive(d[i], origin_);
      total[i] = Vector{};
    }
    for_each_chunk_in_reach([&](T* at, int64_t) DRSL_LAMBDA {
      Vector v[kVectors];
      for (int k = 0; k < kVectors; ++k)
        v[k] = step.of_entry(load(at + k * Simd<T>::kLanes), origin_);
      // for spread_negatives
      for (int k = 0; k < kVectors; ++k) store(at + k * Simd<T>::kLanes, v[k]);
      for (int i = 0; i < n; ++i) {
        Vector sum = step.at(u_[size_t(i)], v[0]);
        for (int k = 1; k < kVectors; ++k) sum += step.at(u_[size_t(i)], v[k]);
        total[i] += sum;
      }
    });
    for (int i = 0; i < n; ++i) {
      double sum = 0;
      for (int k = 0; k < Simd<T>::kLanes; ++k) sum += double(total[i][k]);
      false_positives[size_t(i)] = T(sum);
    }
  }

  template <class Step>
  DRSL_INLINE void spread_negatives_directly(Step step) {
    for (int64_t c = 0; c < columns_ / kChunk; ++c)
      if (!in_reach(c)) std::fill_n(spread + c * kChunk, kChunk, T(0));
    for_each_chunk_in_reach([&](const T* at, int64_t first) DRSL_LAMBDA {
      Vector v[kVectors], sum[kVectors] = {};
      for (int k = 0; k < kVectors; ++k) v[k] = load(at + k * Simd<T>::kLanes);
      for (size_t i = 0; i < size_t(n); ++i)
        for (int k = 0; k < kVectors; ++k) sum[k] += negative_weight[i] * step.at(u_[i], v[k]);
      for (int k = 0; k < kVectors; ++k) store(spread + first + k * Simd<T>::kLanes, sum[k]);
    });
  }

  template <class F>
  DRSL_INLINE void for_each_chunk_in_reach(F f) const {
    for (int64_t c = 0; c < columns_ / kChunk; ++c)
      if (in_reach(c)) f(distance.get() + c * kChunk, c * kChunk);
  }

  template <class V>
  void permute(std::vector<V>& values) {
    std::vector<V> moved(static_cast<size_t>(n));
    for (size_t i = 0; i < size_t(n); ++i) moved[i] = values[size_t(order_[i])];
    std::copy(moved.begin(), moved.end(), values.begin());
  }

  void sort_positives() {
    order_.resize(size_t(n));
    by_distance_(n, d.data(), order_.data());
    permute(d);
    permute(y);
    permute(column);
    permute(cosine);
    permute(near);
    sorted_.assign(n, d.data());
  }

  // The place of a negative, seen from a positive that notices it.
  DRSL_INLINE double closed_place(T at, size_t positive) const {
    return closed_[positive] + (double(at) - double(d[positive]));
  }
  template <class Step>
  DRSL_INLINE void sum_negatives_sorted(Step step);
  template <class Step>
  DRSL_INLINE void spread_negatives_sorted(Step step);
};

}  // namespace drsl
