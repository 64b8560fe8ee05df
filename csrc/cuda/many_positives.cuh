#pragma once
// Sums among the positives of one query, many of them, by one block in O(n log n): those of
// core/positives.h, formed from windows of prefix sums (core/window.h).
//
// Windows are as wide as the step, 2δ. So the unit is 2δ, and gaps beyond it are closed to 1: windows do
// not reach across them, and prefix sums stay small numbers whatever the distances are. With δ = 0 a
// coordinate is a place: H(d_i − d_j) = 1 for all that are not farther. All sums are in double.
//
// What is charged is the same sum from the other side, mirrored: the largest d first, the largest y
// first. kMirror says so; H(d_i − d_j), seen from j, then has the same form.
#include <cstdint>
#include <type_traits>

#include "core/positives.h"
#include "core/window.h"
#include "cuda/many_slot.cuh"
#include "cuda/ranked_sums.cuh"

namespace drsl::cuda {

// From one number to the next in units of 2δ, closed to one.
template <class T>
__device__ __forceinline__ double closed_gap(T from, T to, double slope) {
  const double gap = (double(to) - double(from)) * slope;
  return gap < 1 ? gap : 1;
}

// Members that do something are called by all threads of the block and end with a barrier.
template <class T>
class ManyPositives {
 public:
  __device__ __forceinline__ explicit ManyPositives(ManyShared<T>& shared)
      : shared_(shared), slot_(shared.slot) {}

  // d, y and column become ordered by distance, then as they stood.
  __device__ __forceinline__ void begin(int n) {
    n_ = n;
    located_ = false;
    order_by_distance();
    order_by_angle();
  }

  template <class F>
  __device__ __forceinline__ void for_each(F f) const {
#pragma unroll 1
    for (int i = int(threadIdx.x); i < n_; i += kSortThreads) f(i);
    __syncthreads();
  }

  template <class Step>
  __device__ __forceinline__ void sum(Step step, const PositiveSums<T*>& out) {
    locate(step);
    const auto error = [y = slot_.y](int i) { return 1 - double(y[i]); };
    sum_by_rank<false, Step>(error);
    __syncthreads();
    LowerSums* const prefix = shared_.ranked.prefix;
    block_scan<kSortThreads>(
        n_, parts<LowerSums>(),
        [&](int i) {
          const double at = slot_.place[i], e = error(i);
          return LowerSums{{1, at, e, e * at}};
        },
        [&](int i, const LowerSums& upto) { prefix[i] = upto; });
    const double own = 1 - double(step(T(0)));  // i itself counts as 1, the window says H(0)
    for_each([&](int q) {
      const int i = slot_.by_angle[q];
      const Reach reach = reach_of<false, Step>(i);
      const LowerSums lo = before(prefix, reach.lo), hi = before(prefix, reach.hi);
      const double at = slot_.place[i], rank = window(at, 1, lo.v, hi.v) + own;
      const double errors = window(at, 1, lo.v + 2, hi.v + 2) + own * error(i);
      const Mass worse = shared_.ranked.mass[q];
      out.rank[i] = T(rank);
      out.error[i] = T(errors);
      out.target_rank[i] = T(rank - worse.count);
      out.target_error[i] = T(errors - worse.value);
      out.missorted[i] = missorted_mass(T(worse.count), T(rank));
    });
  }

  // charge(j, Σ_i weight[i] H(x_ij) [y_j < y_i])
  template <class Step, class Charge>
  __device__ __forceinline__ void spread_missorted(Step step, const T* weight, Charge charge) {
    int any = 0;
    for (int i = int(threadIdx.x); i < n_; i += kSortThreads) any |= weight[i] != 0;
    if (!__syncthreads_or(any)) return;
    locate(step);
    sum_by_rank<true, Step>([=](int i) { return double(weight[i]); });
    for_each([&](int q) { charge(slot_.by_angle[n_ - 1 - q], shared_.ranked.mass[q].value); });
  }

  // Of numbers weight[i]: Σ weight and Σ weight · coordinate, the largest distance first.
  template <class Step>
  __device__ __forceinline__ const Sums<2>* mirrored_prefix(Step step, const T* weight) {
    locate(step);
    Sums<2>* const prefix = Arena(shared_).template take<Sums<2>>(n_);
    block_scan<kSortThreads>(
        n_, parts<Sums<2>>(),
        [&](int k) {
          const double w = double(weight[n_ - 1 - k]);
          return Sums<2>{{w, w * at<true>(n_ - 1 - k)}};
        },
        [&](int k, const Sums<2>& upto) { prefix[k] = upto; });
    return prefix;
  }

  // Σ weight · H, seen from a coordinate that takes `lo` in full and `hi` at all.
  static __device__ __forceinline__ double windowed(double at, Reach reach, const Sums<2>* prefix) {
    const Sums<2> lo = before(prefix, reach.lo), hi = before(prefix, reach.hi);
    return window(at, 1, lo.v, hi.v);
  }

  template <bool kMirror>
  __device__ __forceinline__ double at(int i) const {
    return kMirror ? slot_.place[n_ - 1] - slot_.place[i] : slot_.place[i];
  }

  template <bool kMirror, class Step>
  __device__ __forceinline__ Reach reach_of(int i) const {
    const int lo = slot_.lo[i], hi = slot_.hi[i];
    if constexpr (kMirror) return {n_ - (is_hard<Step> ? lo : hi), n_ - lo};
    return {is_hard<Step> ? hi : lo, hi};
  }

  // of block_scan
  template <class Sum>
  __device__ __forceinline__ Sum* parts() const {
    static_assert(sizeof(Sum) <= sizeof shared_.part[0]);
    return reinterpret_cast<Sum*>(shared_.part);
  }

 private:
  using Key = KeyOf<T>;

  ManyShared<T>& shared_;
  const ManySlot<T>& slot_;
  int n_ = 0;
  bool located_ = false;

  template <class S>
  static __device__ __forceinline__ S before(const S* prefix, int k) {
    return k > 0 ? prefix[k - 1] : S{};
  }

  __device__ __forceinline__ SortBuffer<Key> sort_buffer(Arena& memory) const {
    Key* const key = memory.take<Key>(n_);
    return {key, memory.take<int32_t>(n_)};
  }

  // Keys and items in the order of x.
  __device__ __forceinline__ SortBuffer<Key> sort(const T* x, Arena& memory) const {
    SortBuffer<Key> sorted = sort_buffer(memory), other = sort_buffer(memory);
    for (int i = int(threadIdx.x); i < n_; i += kSortThreads) {
      sorted.key[i] = key_of(x[i]);
      sorted.item[i] = i;
    }
    block_sort<true>(n_, sorted, other, shared_.sort);
    return sorted;
  }

  __device__ __forceinline__ void order_by_distance() {
    Arena memory(shared_);
    const SortBuffer<Key> sorted = sort(slot_.d, memory);
    T* const y = memory.take<T>(n_);
    int32_t* const column = memory.take<int32_t>(n_);
    for_each([&](int i) {
      const int from = sorted.item[i];
      slot_.d[i] = number_of<T>(sorted.key[i]);
      y[i] = slot_.y[from];
      column[i] = slot_.column[from];
    });
    for_each([&](int i) {
      slot_.y[i] = y[i];
      slot_.column[i] = column[i];
    });
  }

  __device__ __forceinline__ void order_by_angle() {
    Arena memory(shared_);
    const SortBuffer<Key> sorted = sort(slot_.y, memory);
    const Key* const y = sorted.key;
    for_each([&](int q) {
      const Key own = y[q];
      slot_.by_angle[q] = sorted.item[q];
      slot_.y_below[q] = count_ahead(n_, [=](int k) { return y[k] < own; });
      slot_.y_upto[q] = count_ahead(n_, [=](int k) { return y[k] <= own; });
    });
  }

  template <class Step>
  __device__ __forceinline__ void locate(Step step) {
    if (located_) return;
    located_ = true;
    const T* const d = slot_.d;
    for_each([&](int i) {
      const T own = d[i];
      if constexpr (is_hard<Step>) {
        slot_.lo[i] = count_ahead(n_, [=](int j) { return d[j] < own; });
        slot_.hi[i] = count_ahead(n_, [=](int j) { return d[j] <= own; });
        slot_.place[i] = slot_.lo[i];
      } else {
        slot_.lo[i] = count_ahead(n_, [=](int j) { return own - d[j] >= step.half_width; });
        slot_.hi[i] = count_ahead(n_, [=](int j) { return own - d[j] > -step.half_width; });
      }
    });
    if constexpr (!is_hard<Step>)
      block_scan<kSortThreads>(
          n_, parts<Sums<1>>(),
          [&](int i) { return Sums<1>{i > 0 ? closed_gap(d[i - 1], d[i], step.slope) : 0}; },
          [&](int i, const Sums<1>& upto) { slot_.place[i] = upto.v[0]; });
  }

  // ranked.mass of each positive, in order of y (kMirror: from the largest y down): Σ H (1, value) over
  // those that come before it in that order and are not its equals.
  template <bool kMirror, class Step, class Value>
  __device__ __forceinline__ void sum_by_rank(Value value) const {
    using Unit = std::conditional_t<is_hard<Step>, Hard<double>, Ramp<double>>;
    RankedWork& work = shared_.ranked;
    if (threadIdx.x == 0) {
      Arena memory(shared_);
      work.source = memory.take<RankedSource>(n_);
      work.prefix = memory.take<LowerSums>(n_);
      work.reach = memory.take<Reach>(n_);
      work.mass = memory.take<Mass>(n_);
      for (int32_t*& rank : work.rank) rank = memory.take<int32_t>(n_);
    }
    __syncthreads();
    for_each([&](int q) {
      const int i = slot_.by_angle[turned<kMirror>(q)];
      work.source[q] = {at<kMirror>(i), value(i)};
      work.reach[q] = reach_of<kMirror, Step>(i);
      work.rank[0][turned<kMirror>(i)] = q;
    });
    sum_ranked<kSortThreads, is_hard<Step>>(n_, work, shared_.part, Unit(0.5), [&](int q) {
      return kMirror ? n_ - slot_.y_upto[turned<true>(q)] : slot_.y_below[q];
    });
  }

  template <bool kMirror>
  __device__ __forceinline__ int turned(int k) const {
    return kMirror ? n_ - 1 - k : k;
  }
};

}  // namespace drsl::cuda
