#pragma once
// The sums that a policy asks for, for a query with many positives: by one block of kRowThreads, in
// O(G log G), on a slot of memory of its own.
//
//   false_positives[i] = Σ_k H(d_i − d_k)                   negatives sorted, a window for each positive
//   charges[k] = Σ_i negative_weight[i] H(d_i − d_k)        positives sorted, a window for each negative
//
// Sums among positives: many_positives.cuh.
#include "cuda/many_positives.cuh"
#include "cuda/row.cuh"

namespace drsl::cuda {

// All members are called by all threads, and those that do something end with a barrier.
template <class T>
class ManyRow {
 public:
  using Shared = ManyShared<T>;

  const PositiveSums<T*>& sums;
  T *const &false_positives, *const &grad_distance, *const &grad_angle;
  T *const &negative_weight, *const &missorted_weight, *const &angle_weight;
  bool gradient = true;  // or the terms alone: spread_* do nothing

  static DRSL_HD int64_t slot_bytes(int64_t columns) { return ManySlot<T>::bytes(columns); }

  __device__ __forceinline__ ManyRow(void* slot, int64_t columns, Shared& shared)
      : sums(shared.slot.sums),
        false_positives(shared.slot.false_positives),
        grad_distance(shared.slot.grad_distance),
        grad_angle(shared.slot.grad_angle),
        negative_weight(shared.slot.negative_weight),
        missorted_weight(shared.slot.missorted_weight),
        angle_weight(shared.slot.angle_weight),
        shared_(shared),
        slot_(shared.slot),
        positives_(shared),
        columns_(int(columns)) {
    if (threadIdx.x == 0) shared.slot = ManySlot<T>::of(slot, columns);
    __syncthreads();
  }

  __device__ __forceinline__ T* distance() const { return slot_.distance; }
  __device__ __forceinline__ T* charges() const { return slot_.charge; }
  __device__ __forceinline__ T* d() const { return slot_.d; }
  __device__ __forceinline__ T* y() const { return slot_.y; }
  __device__ __forceinline__ int32_t* column() const { return slot_.column; }

  // Orders the positives by distance, then column: column, d and y alike.
  __device__ __forceinline__ void begin(int n) {
    n_ = n;
    for (int t = 0; t < 3; ++t) term_[t] = 0;
    positives_.begin(n);
  }

  __device__ __forceinline__ int count() const { return n_; }

  template <class F>
  __device__ __forceinline__ void for_each_positive(F f) const {
    positives_.for_each(f);
  }

  __device__ __forceinline__ void add_terms(int, T a, T b, T c) {
    term_[0] += a;
    term_[1] += b;
    term_[2] += c;
  }
  // Of all positives, in all threads.
  __device__ __forceinline__ T total(int t) const {
    const T own = t == 0 ? term_[0] : t == 1 ? term_[1] : term_[2];
    const T sum = block_sum<kRowThreads>(own, positives_.template parts<T>());
    __syncthreads();
    return sum;
  }

  template <class Step>
  __device__ __forceinline__ void sum_negatives(Step step) {
    Arena memory(shared_);
    SortBuffer<Key> sorted{memory.take<Key>(columns_)}, other{memory.take<Key>(columns_)};
    const int count = keep_negatives(sorted.key);
    block_sort<false>(count, sorted, other, shared_.sort);
    const Negatives negatives{count, reinterpret_cast<T*>(other.key), memory.take<Line>(columns_)};
    line_up(sorted.key, negatives, step);
    for_each_positive(
        [&](int i) { false_positives[i] = T(negatives.seen_from(slot_.d[i], step)); });
  }

  template <class Step>
  __device__ __forceinline__ void sum_positives(Step step) {
    positives_.sum(step, sums);
  }

  template <class Step>
  __device__ __forceinline__ void spread_missorted(Step step) {
    if (!gradient) return;
    positives_.spread_missorted(step, missorted_weight,
                                [&](int j, double charge) { grad_distance[j] -= T(charge); });
  }

  template <class Step>
  __device__ __forceinline__ void spread_angles(Step step) {
    if (!gradient) return;
    const Sums<2>* const prefix = positives_.mirrored_prefix(step, angle_weight);
    const double own = 1 - double(step(T(0)));
    for_each_positive([&](int j) {
      const Reach reach = positives_.template reach_of<true, Step>(j);
      const double pull = positives_.windowed(positives_.template at<true>(j), reach, prefix);
      grad_angle[j] = -T(pull + double(angle_weight[j]) * own);
    });
  }

  template <class Step>
  __device__ __forceinline__ void spread_negatives(Step step) {
    if (!gradient) return;
    const Sums<2>* const prefix = positives_.mirrored_prefix(step, negative_weight);
#pragma unroll 1
    for (int k = int(threadIdx.x); k < columns_; k += kRowThreads) {
      const T v = slot_.distance[k];
      slot_.charge[k] = v < kInfinity<T> ? T(charge_of(v, prefix, step)) : T(0);
    }
    __syncthreads();
  }

 private:
  using Key = KeyOf<T>;

  // Coordinate of a negative (many_positives.cuh), and the sum of coordinates up to there.
  struct Line {
    double at, sum;
  };
  // The same for stretches of negatives, one behind the other.
  struct Stretch {
    double at, sum, count;

    __device__ __forceinline__ Stretch then(const Stretch& next) const {
      return {at + next.at, sum + next.sum + at * next.count, count + next.count};
    }
  };

  struct Negatives {
    int count;
    T* v;        // ascending
    Line* line;  // not with δ = 0

    // Σ_k H(d − v_k)
    template <class Step>
    __device__ __forceinline__ double seen_from(T d, Step step) const {
      const T* const at = v;
      if constexpr (is_hard<Step>)
        return count_ahead(count, [=](int k) { return at[k] <= d; });
      else {
        const int lo = count_ahead(count, [=](int k) { return d - at[k] >= step.half_width; });
        const int hi = count_ahead(count, [=](int k) { return d - at[k] > -step.half_width; });
        if (lo >= hi) return lo;
        // counted from the first in the window: between the two, no gap is closed
        const double own = line[lo].at + (double(d) - double(v[lo])) * double(step.slope);
        const double ahead[2] = {double(lo), lo > 0 ? line[lo - 1].sum : 0};
        const double upto[2] = {double(hi), line[hi - 1].sum};
        const double seen = window(own, 1, ahead, upto);
        return seen > 0 ? seen : 0;
      }
    }
  };

  Shared& shared_;
  const ManySlot<T>& slot_;
  ManyPositives<T> positives_;
  const int columns_;
  int n_ = 0;
  T term_[3] = {0, 0, 0};

  // Keys of what is not at +∞, in any order: they are about to be sorted. Returns how many.
  __device__ __forceinline__ int keep_negatives(Key* key) const {
    int32_t& kept = shared_.sort.part[0];
    if (threadIdx.x == 0) kept = 0;
    __syncthreads();
    for (int base = 0; base < columns_; base += kRowThreads) {
      const int k = base + int(threadIdx.x);
      const T v = k < columns_ ? slot_.distance[k] : kInfinity<T>;
      const unsigned counted = __ballot_sync(kAllLanes, v < kInfinity<T>);
      int first = lane_index() == 0 && counted ? atomicAdd(&kept, __popc(counted)) : 0;
      first = __shfl_sync(kAllLanes, first, 0);
      const unsigned below = counted & ((1u << lane_index()) - 1);
      if (v < kInfinity<T>) key[first + __popc(below)] = key_of(v);
    }
    __syncthreads();
    const int count = kept;
    __syncthreads();
    return count;
  }

  // Keys → numbers and their coordinates.
  template <class Step>
  __device__ __forceinline__ void line_up(const Key* key, const Negatives& out, Step step) const {
    if constexpr (is_hard<Step>) {
      for (int k = int(threadIdx.x); k < out.count; k += kRowThreads)
        out.v[k] = number_of<T>(key[k]);
      __syncthreads();
    } else {
      block_scan<kRowThreads>(
          out.count, positives_.template parts<Stretch>(),
          [&](int k) {
            const T v = number_of<T>(key[k]), last = k > 0 ? number_of<T>(key[k - 1]) : v;
            const double gap = closed_gap(last, v, step.slope);
            return Stretch{gap, gap, 1};
          },
          [&](int k, const Stretch& upto) {
            out.v[k] = number_of<T>(key[k]);
            out.line[k] = {upto.at, upto.sum};
          });
    }
  }

  // Σ_i negative_weight[i] H(d_i − v)
  template <class Step>
  __device__ __forceinline__ double charge_of(T v, const Sums<2>* prefix, Step step) const {
    const T* const d = slot_.d;
    if constexpr (is_hard<Step>) {
      const int reached = n_ - count_ahead(n_, [=](int i) { return d[i] < v; });
      return positives_.windowed(0, {reached, reached}, prefix);
    } else {
      const int lo = count_ahead(n_, [=](int i) { return d[i] - v <= -step.half_width; });
      const int hi = count_ahead(n_, [=](int i) { return d[i] - v < step.half_width; });
      // counted from the first in the window, as above
      const double own = lo < hi ? (double(v) - double(d[lo])) * double(step.slope) : 0;
      const double at = lo < hi ? positives_.template at<true>(lo) - own : 0;
      return positives_.windowed(at, {n_ - hi, n_ - lo}, prefix);
    }
  }
};

}  // namespace drsl::cuda
