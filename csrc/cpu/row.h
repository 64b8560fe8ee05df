#pragma once
// One query's row on one thread: the CPU's answer to what a policy (core/losses/) asks of a row.
//
// How sums are formed: row_direct.h, row_sorted.h for many positives, row_smooth.h for smooth steps;
// row_each.h for policies that take each entry by itself.
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
  // smooth: for steps that are summed directly whatever the number of positives
  Row(int64_t columns, int64_t most_positives, bool smooth)
      : distance(columns), columns_(columns), chunk_min_(size_t(columns / kChunk)) {
    const int64_t lanes = Simd<T>::kLanes;
    // whole vectors are read and written
    const size_t n = size_t((most_positives + lanes - 1) / lanes * lanes);
    for (std::vector<T>* v :
         {&d, &y, &false_positives, &grad_distance, &grad_angle, &negative_weight,
          &missorted_weight, &angle_weight, &rank_weight, &steepness, &rank_, &error_,
          &target_rank_, &target_error_, &missorted_, &u_, &v_})
      v->resize(n);
    column.resize(n);
    cosine.resize(n);
    near.resize(n);
    sums = {rank_.data(), error_.data(), target_rank_.data(), target_error_.data(),
            missorted_.data()};
    const int64_t direct =
        smooth ? 2 * most_positives : std::min<int64_t>(most_positives, kSortedFrom);
    accumulator_ = Buffer<T>(direct * Simd<T>::kLanes);
    if (smooth || most_positives < kSortedFrom) return;
    negative_.resize(size_t(columns) + 1);
    for (std::vector<int32_t>* v : {&negative_column_, &first_partly_, &first_fully_})
      v->resize(size_t(columns) + 1);
  }

  // --- filled in by whoever loads the row ---------------------------------------------------
  Buffer<T> distance;           // [columns], a multiple of kChunk; sum_negatives may spoil it
  std::vector<T> d, y;          // [n] distance and angle of the positives
  std::vector<int32_t> column;  // [n] where they stand
  std::vector<double> cosine;   // [n]
  std::vector<uint8_t> near;    // [n]
  int n = 0;
  // [columns] Σ_i negative_weight[i] H(d_i − d_j) goes here: what j is charged with
  T* spread = nullptr;

  // --- what a policy reads and writes -------------------------------------------------------
  PositiveSums<T*> sums;
  std::vector<T> false_positives, grad_distance, grad_angle;
  std::vector<T> negative_weight, missorted_weight, angle_weight, rank_weight;
  std::vector<T> steepness;  // Σ_{j∈N} H'(x_ij), of smooth steps
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
  }

  // For sums over negatives, and the nearest of them. Positives may be sorted.
  DRSL_INLINE void prepare(bool sorts) {
    for (int64_t c = 0; c < columns_ / kChunk; ++c)
      chunk_min_[size_t(c)] = least(distance.get() + c * kChunk);
    if (sorts && n >= kSortedFrom) sort_positives();
  }

  template <class Step>
  DRSL_INLINE void sum_negatives(Step step) {
    T nearest = d[0], farthest = d[0];
    for (size_t i = 1; i < size_t(n); ++i) {
      nearest = std::min(nearest, d[i]);
      farthest = std::max(farthest, d[i]);
    }
    reach_ = farthest + step.half_width;
    origin_ = step.origin(nearest, farthest);
    prepared_ = step.can_prepare(nearest, farthest);
    if (!Step::kSmooth && n >= kSortedFrom)
      sum_negatives_sorted(step);
    else
      with_prepared(step, [&](auto s) DRSL_LAMBDA { sum_negatives_directly(s); });
    if constexpr (Step::kSmooth)
      for (size_t i = 0; i < size_t(n); ++i) steepness[i] *= step.slope;
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
    else
      with_prepared(step, [&](auto s) DRSL_LAMBDA {
        spread_negatives_directly([&](T u, Vector v) DRSL_LAMBDA { return s.at(u, v); });
      });
  }

  // The column of the smallest distance, of equal ones the first.
  DRSL_INLINE int64_t nearest_negative() const {
    const auto chunk = std::min_element(chunk_min_.begin(), chunk_min_.end());
    const T* const at = distance.get() + (chunk - chunk_min_.begin()) * kChunk;
    return std::find(at, at + kChunk, *chunk) - distance.get();
  }

  // --- of smooth steps (row_smooth.h) ---------------------------------------------------------------

  // sums.rank[i] = 1 + Σ_{j≠i} H(x_ij), after sum_negatives
  template <class Step>
  DRSL_INLINE void sum_ranks(Step step);
  // grad_distance[i] += Σ_j (rank_weight[j] − rank_weight[i]) H'(x_ij)
  template <class Step>
  DRSL_INLINE void spread_ranks(Step step);
  // What negative j is charged with: Σ_i negative_weight[i] H'(x_ij). Spoils negative_weight.
  template <class Step>
  DRSL_INLINE void spread_slopes(Step step);

 private:
  using Vector = typename Simd<T>::Vector;
  static constexpr int kVectors = kChunk / Simd<T>::kLanes;

  int64_t columns_;
  std::vector<T> chunk_min_;  // smallest distance of each chunk
  T reach_ = 0;               // beyond this distance, no positive notices a negative
  T origin_ = 0;              // distance of the nearest positive
  bool prepared_ = false;
  Buffer<T> accumulator_;
  std::vector<T> u_, v_;  // [n] what steps know of the positives, seen from and seen
  std::vector<T> rank_, error_, target_rank_, target_error_, missorted_;

  SortedPositives<T, Ramp<T>> ramp_;
  SortedPositives<T, Hard<T>> hard_;
  RadixOrder<T> by_distance_;
  std::vector<int32_t> order_;
  // negatives within reach, where they stand, the first positive that notices each, that fully does
  std::vector<T> negative_;
  std::vector<int32_t> negative_column_, first_partly_, first_fully_;
  int noticed_ = 0;  // how many
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

  // f(the step, prepared or pair by pair)
  template <class Step, class F>
  DRSL_INLINE void with_prepared(Step step, F f) {
    if (prepared_)
      f(step);
    else
      f(PairByPair<T, Step>{step});
  }

  template <class Step>
  DRSL_INLINE void sum_negatives_directly(Step step);
  // share(u_i, v_j): what i hands to j
  template <class Share>
  DRSL_INLINE void spread_negatives_directly(Share share);

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
  DRSL_INLINE void collect_negatives();
  template <class Step>
  DRSL_INLINE void sum_negatives_sorted(Step step);
  template <class Step>
  DRSL_INLINE void spread_negatives_sorted(Step step);
};

}  // namespace drsl
