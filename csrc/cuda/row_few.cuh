#pragma once
// The sums that a policy asks for, for a query with n ≤ 64 positives: directly, n operations a column.
//
//   false_positives[i] = Σ_k H(d_i − d_k)        rounds of 8 or 4 positives, their sums in registers
//   charge[k] = Σ_i negative_weight[i] H(d_i − d_k)        handed to the source column by column
//
// Two instructions a pair in either. Sums among positives: a thread a positive (core/positives.h).
#include "cuda/element.cuh"
#include "cuda/row.cuh"

namespace drsl::cuda {

// Shared memory of a block.
template <class T>
struct alignas(16) FewShared {
  T u[kFewPositives], negative_weight[kFewPositives];  // read in packs, padded to whole ones
  T d[kFewPositives], y[kFewPositives];
  T rank[kFewPositives], error[kFewPositives], target_rank[kFewPositives],
      target_error[kFewPositives], missorted[kFewPositives];
  T false_positives[kFewPositives], grad_distance[kFewPositives], grad_angle[kFewPositives];
  T missorted_weight[kFewPositives], angle_weight[kFewPositives];
  T term[3][kFewPositives];
  T part[kRowWarps][kFewPositives];
  int column[kFewPositives], found[kFewPositives], n;
};

// Sums of N numbers over the lanes of a warp; lane l gets the sum of v[l % N]. Half of the numbers
// change sides with every step, so that few shuffles do. By recursion: all indices are constants.
template <int kHalf, class T, int N>
__device__ __forceinline__ void fold_lanes(T (&v)[N]) {
  if constexpr (kHalf >= 1) {
    const bool upper = threadIdx.x & kHalf;
#pragma unroll
    for (int i = 0; i < kHalf; ++i) {
      const T mine = upper ? v[i + kHalf] : v[i], theirs = upper ? v[i] : v[i + kHalf];
      v[i] = mine + __shfl_xor_sync(kAllLanes, theirs, kHalf);
    }
    fold_lanes<kHalf / 2>(v);
  }
}
template <class T, int N>
__device__ __forceinline__ T warp_sum_each(T (&v)[N]) {
  fold_lanes<N / 2>(v);
#pragma unroll
  for (int lanes = N; lanes < 32; lanes *= 2) v[0] += __shfl_xor_sync(kAllLanes, v[0], lanes);
  return v[0];
}

// Columns: HeldColumns or a source that can tell distances again. All members are called by all
// threads and end with a barrier.
template <class T, class Source, class Columns>
class FewRow {
 public:
  PositiveSums<T*> sums;
  T *false_positives, *grad_distance, *grad_angle;
  T *negative_weight, *missorted_weight, *angle_weight;

  // d, y and the columns are in place.
  __device__ __forceinline__ FewRow(int n, FewShared<T>& shared, const Source& source,
                                    const Columns& columns)
      : sums{shared.rank, shared.error, shared.target_rank, shared.target_error, shared.missorted},
        false_positives(shared.false_positives),
        grad_distance(shared.grad_distance),
        grad_angle(shared.grad_angle),
        negative_weight(shared.negative_weight),
        missorted_weight(shared.missorted_weight),
        angle_weight(shared.angle_weight),
        n_(n),
        s_(shared),
        source_(source),
        columns_(columns) {}

  __device__ __forceinline__ int count() const { return n_; }

  template <class F>
  __device__ __forceinline__ void for_each_positive(F f) const {
    const int i = int(threadIdx.x);
    if (i < n_) f(i);
    __syncthreads();
  }

  __device__ __forceinline__ void add_terms(int i, T a, T b, T c) {
    s_.term[0][i] = a;
    s_.term[1][i] = b;
    s_.term[2][i] = c;
  }

  template <class Step>
  __device__ __forceinline__ void sum_negatives(Step step) {
    find_reach(step);
    if (prepared_)
      count(step);
    else
      count(PairByPair<T, Step>{step});
  }

  template <class Step>
  __device__ __forceinline__ void sum_positives(Step step) {
    for_each_positive([&](int i) {
      const auto s = drsl::sum_positives(s_.d[i], s_.y[i], n_, s_.d, s_.y, step);
      s_.rank[i] = s.rank;
      s_.error[i] = s.error;
      s_.target_rank[i] = s.target_rank;
      s_.target_error[i] = s.target_error;
      s_.missorted[i] = s.missorted;
    });
  }

  template <class Step>
  __device__ __forceinline__ void spread_missorted(Step step) {
    if (!source_.gradient()) return;
    for_each_positive([&](int j) {
      s_.grad_distance[j] -=
          missorted_charge(s_.d[j], s_.y[j], n_, s_.d, s_.y, step, s_.missorted_weight);
    });
  }

  template <class Step>
  __device__ __forceinline__ void spread_angles(Step step) {
    if (!source_.gradient()) return;
    for_each_positive([&](int j) {
      s_.grad_angle[j] = -angle_pull(s_.d[j], s_.angle_weight[j], n_, s_.d, step, s_.angle_weight);
    });
  }

  template <class Step>
  __device__ __forceinline__ void spread_negatives(Step step) {
    if (!source_.gradient()) return;
    if (prepared_)
      spread(step);
    else
      spread(PairByPair<T, Step>{step});
    __syncthreads();
  }

  // The sum over positives of the t-th of the terms, the same in all threads.
  __device__ __forceinline__ T total(int t) const {
    T sum = 0;
    for (int i = lane_index(); i < n_; i += 32) sum += s_.term[t][i];
    return warp_sum(sum);
  }

 private:
  static constexpr T kWidest = 64;  // |u| of prepared steps: rounding stays below 4e-6 in float32
  static constexpr int kPack = Pack<T>::kCount;

  const int n_;
  FewShared<T>& s_;
  const Source& source_;
  const Columns& columns_;
  T reach_ = 0;   // beyond this distance, no positive notices a negative
  T origin_ = 0;  // distance of the nearest positive
  bool prepared_ = false;

  template <class Step>
  __device__ __forceinline__ void find_reach(Step step) {
    T nearest = kInfinity<T>, farthest = -kInfinity<T>;
    for (int i = lane_index(); i < n_; i += 32) {
      nearest = s_.d[i] < nearest ? s_.d[i] : nearest;
      farthest = s_.d[i] > farthest ? s_.d[i] : farthest;
    }
#pragma unroll
    for (int lanes = 16; lanes > 0; lanes /= 2) {
      const T near = __shfl_xor_sync(kAllLanes, nearest, lanes);
      const T far = __shfl_xor_sync(kAllLanes, farthest, lanes);
      nearest = near < nearest ? near : nearest;
      farthest = far > farthest ? far : farthest;
    }
    reach_ = farthest + step.half_width;
    origin_ = nearest;
    prepared_ = (farthest - nearest + step.half_width) * step.slope < kWidest;
  }

  // Whether a quad of the warp holds an entry that the last step reaches.
  __device__ __forceinline__ bool in_reach(const Quad<T>& d) const {
    return __any_sync(kAllLanes, d.at[0] <= reach_ || d.at[1] <= reach_ || d.at[2] <= reach_ ||
                                     d.at[3] <= reach_);
  }

  template <class Prepared>
  __device__ __forceinline__ void count(Prepared step) {
    const int i = int(threadIdx.x);
    if (i < kFewPositives) {  // padding reaches nothing
      s_.u[i] = i < n_ ? step.of_positive(s_.d[i], origin_) : -kInfinity<T>;
      s_.negative_weight[i] = 0;
    }
    __syncthreads();
    int first = 0;
    if constexpr (sizeof(T) == 4)  // registers
      for (; n_ - first > 4; first += 8) count_round<8>(step, first);
    for (; n_ - first > 4; first += 4) count_round<4>(step, first);
    if (first < n_) count_round<4>(step, first);
    __syncthreads();
    for_each_positive([&](int p) {
      T sum = 0;
#pragma unroll
      for (int w = 0; w < kRowWarps; ++w) sum += s_.part[w][p];
      s_.false_positives[p] = sum;
    });
  }

  template <int kRound, class Prepared>
  __device__ __forceinline__ void count_round(Prepared step, int first) {
    T u[kRound], sum[kRound];
#pragma unroll
    for (int i = 0; i < kRound; ++i) {
      u[i] = s_.u[first + i];
      sum[i] = 0;
    }
    for_each_quad(source_.padded(), [&](int k) {
      const Quad<T> d = columns_.get(k);
      if (!in_reach(d)) return;
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const T v = step.of_entry(d.at[e], origin_);
#pragma unroll
        for (int i = 0; i < kRound; ++i) sum[i] += step.at(u[i], v);
      }
    });
    const T total = warp_sum_each(sum);
    if (lane_index() < kRound) s_.part[warp_index()][first + lane_index()] = total;
  }

  template <class Prepared>
  __device__ __forceinline__ void spread(Prepared step) {
    for_each_quad(source_.padded(), [&](int k) {
      const Quad<T> d = columns_.get(k);
      Quad<T> charge{};
      if (in_reach(d)) {
        T v[4];
#pragma unroll
        for (int e = 0; e < 4; ++e) v[e] = step.of_entry(d.at[e], origin_);
#pragma unroll 1
        for (int i = 0; i < n_; i += kPack) {
          const auto u = *reinterpret_cast<const Pack<T>*>(s_.u + i);
          const auto w = *reinterpret_cast<const Pack<T>*>(s_.negative_weight + i);
#pragma unroll
          for (int p = 0; p < kPack; ++p)
#pragma unroll
            for (int e = 0; e < 4; ++e) charge.at[e] += w.at[p] * step.at(u.at[p], v[e]);
        }
      }
      source_.write(k, d, charge);
    });
  }
};

}  // namespace drsl::cuda
