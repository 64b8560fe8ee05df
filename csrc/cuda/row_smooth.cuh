#pragma once
// The sums of smooth steps (Way::kSmoothRanks), a block a query: 64 positives a round, all columns in
// every round, n operations a column in the end.
//
// Columns are signed (signed_columns.cuh). Positives are entries like all others here, but for where
// their sums go:
//
//   false_positives[i] = Σ_{k∈N} H(x_ik)      sums.rank[i] = 1 + Σ_{k∈P, k≠i} H(x_ik)      and Σ H' alike
//   ∂L/∂v_k = −Σ_i negative_weight[i] H'(x_ik), k∈N          Σ_{i≠k} rank_weight[i] H'(x_ik), k∈P
#include "core/positives.h"
#include "core/sigmoid.h"
#include "cuda/row_few.cuh"
#include "cuda/signed_columns.cuh"

namespace drsl::cuda {

constexpr int kSmoothPositives = 64;  // of a round

// Sums over columns, seen from a positive.
enum SmoothSum { kNegatives, kNegativeSlopes, kPositives, kPositiveSlopes, kSmoothSums };

// Shared memory of a block.
template <class T>
struct SmoothShared {
  T u[kSmoothPositives], d[kSmoothPositives];
  T sum[kSmoothSums]
       [kSmoothPositives];  // false_positives, steepness, rank, and the ranks' steepness
  T grad_distance[kSmoothPositives], negative_weight[kSmoothPositives],
      rank_weight[kSmoothPositives];
  T part[kSmoothSums][kRowWarps][8];
  T total[kRowWarps];
  int column[kSmoothPositives], count[kRowWarps];
};

// All members are called by all threads and end with a barrier.
template <class T, class Source, class Columns>
class SmoothRow {
 public:
  PositiveSums<T*> sums;  // rank alone
  T *false_positives, *steepness, *grad_distance, *negative_weight, *rank_weight;

  __device__ __forceinline__ SmoothRow(int n, SmoothShared<T>& shared, const Source& source,
                                       const Columns& columns)
      : sums{shared.sum[kPositives], nullptr, nullptr, nullptr, nullptr},
        false_positives(shared.sum[kNegatives]),
        steepness(shared.sum[kNegativeSlopes]),
        grad_distance(shared.grad_distance),
        negative_weight(shared.negative_weight),
        rank_weight(shared.rank_weight),
        n_(n),
        s_(shared),
        source_(source),
        columns_(columns) {}

  // Of all rounds.
  __device__ __forceinline__ int count() const { return n_; }

  // From now on positives [first, first + 64) are looked at.
  __device__ __forceinline__ void begin(int first) {
    first_ = first;
    here_ = n_ - first < kSmoothPositives ? n_ - first : kSmoothPositives;
    list();
  }

  template <class F>
  __device__ __forceinline__ void for_each_positive(F f) const {
    const int i = int(threadIdx.x);
    if (i < here_) f(i);
    __syncthreads();
  }

  __device__ __forceinline__ void add_terms(int, T a, T, T) { term_ += a; }
  // Of all positives, in all threads.
  __device__ __forceinline__ T total(int t) const {
    return t == 0 ? block_sum<kRowThreads>(term_, s_.total) : T(0);
  }

  template <class Step>
  __device__ __forceinline__ void sum_negatives(Step step) {
    T nearest = kInfinity<T>, farthest = 0;
    for (int i = 0; i < here_; ++i) {
      nearest = s_.d[i] < nearest ? s_.d[i] : nearest;
      farthest = s_.d[i] > farthest ? s_.d[i] : farthest;
    }
    origin_ = step.origin(nearest, farthest);
    prepared_ = step.can_prepare(nearest, farthest);
    with_prepared(step, [&](auto s) { sum(s, step.slope); });
  }
  // sum_negatives has done it.
  template <class Step>
  __device__ __forceinline__ void sum_ranks(Step) const {}

  // The part of the positives themselves; spread_slopes adds the others'.
  template <class Step>
  __device__ __forceinline__ void spread_ranks(Step) const {
    for_each_positive(
        [&](int i) { grad_distance[i] -= rank_weight[i] * s_.sum[kPositiveSlopes][i]; });
  }
  template <class Step>
  __device__ __forceinline__ void spread_slopes(Step step) const {
    if (!source_.gradient()) return;
    with_prepared(step, [&](auto s) { spread(s, step.slope); });
    __syncthreads();
    for_each_positive([&](int i) { source_.add_by_cosine(s_.column[i], -grad_distance[i]); });
  }

 private:
  static constexpr int kRound = sizeof(T) == 4 ? 8 : 4;  // positives whose sums are in registers

  const int n_;
  SmoothShared<T>& s_;
  const Source& source_;
  const Columns& columns_;
  int first_ = 0, here_ = 0;
  T term_ = 0, origin_ = 0;
  bool prepared_ = false;

  // The round's positives, in an order that depends on the columns alone.
  __device__ __forceinline__ void list() {
    int before = 0;
    for (int base = 0; base < source_.padded(); base += kRowThreads * 4) {
      const int k = base + int(threadIdx.x) * 4;
      const Quad<T> v = k < source_.padded() ? columns_.get(k) : Quad<T>{};
      unsigned votes[4];
      int own = 0;
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        votes[e] = __ballot_sync(kAllLanes, is_marked(v.at[e]));
        own += __popc(votes[e]);
      }
      if (lane_index() == 0) s_.count[warp_index()] = own;
      __syncthreads();
      int at = before - first_;
      for (int w = 0; w < kRowWarps; ++w) {
        if (w < warp_index()) at += s_.count[w];
        before += s_.count[w];
      }
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int place = at + __popc(votes[e] & ((1u << lane_index()) - 1));
        if (is_marked(v.at[e]) && place >= 0 && place < kSmoothPositives) {
          s_.column[place] = k + e;
          s_.d[place] = magnitude(v.at[e]);
        }
        at += __popc(votes[e]);
      }
      __syncthreads();
    }
  }

  template <class Step, class F>
  __device__ __forceinline__ void with_prepared(Step step, F f) const {
    if (prepared_)
      f(step);
    else
      f(PairByPair<T, Step>{step});
  }

  template <class Prepared>
  __device__ __forceinline__ void sum(Prepared step, T slope) {
    for_each_positive([&](int i) { s_.u[i] = step.of_positive(s_.d[i], origin_); });
#pragma unroll 1
    for (int first = 0; first < here_; first += kRound) {
      sum_round(step, first);
      const int i = first + int(threadIdx.x);
      if (threadIdx.x < kRound && i < here_) {
        T sum[kSmoothSums] = {};
        for (int t = 0; t < kSmoothSums; ++t)
          for (int w = 0; w < kRowWarps; ++w) sum[t] += s_.part[t][w][threadIdx.x];
        s_.sum[kNegatives][i] = sum[kNegatives];
        s_.sum[kNegativeSlopes][i] = sum[kNegativeSlopes] * slope;
        s_.sum[kPositives][i] = 1 + sum[kPositives];
        s_.sum[kPositiveSlopes][i] = sum[kPositiveSlopes] * slope;
      }
      __syncthreads();
    }
  }

  template <class Prepared>
  __device__ __forceinline__ void sum_round(Prepared step, int first) {
    T u[kRound], sum[kSmoothSums][kRound] = {};
#pragma unroll
    for (int i = 0; i < kRound; ++i) u[i] = s_.u[first + i < here_ ? first + i : first];
    for_each_quad(source_.padded(), [&](int k) {
      const Quad<T> v = columns_.get(k);
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const T w = step.of_entry(magnitude(v.at[e]), origin_);
        const bool positive = is_marked(v.at[e]);
#pragma unroll
        for (int i = 0; i < kRound; ++i) {
          T h = step.at(u[i], w);
          if (positive) {
            if (k + e == s_.column[first + i < here_ ? first + i : first]) h = 0;  // i itself
            sum[kPositives][i] += h;
            sum[kPositiveSlopes][i] += steepness_of(h);
          } else {
            sum[kNegatives][i] += h;
            sum[kNegativeSlopes][i] += steepness_of(h);
          }
        }
      }
    });
#pragma unroll
    for (int t = 0; t < kSmoothSums; ++t) {
      const T total = warp_sum_each(sum[t]);
      if (lane_index() < kRound) s_.part[t][warp_index()][lane_index()] = total;
    }
    __syncthreads();
  }

  // ∂L/∂cos = −∂L/∂v of all columns but the round's own part
  template <class Prepared>
  __device__ __forceinline__ void spread(Prepared step, T slope) const {
    for_each_quad(source_.padded(), [&](int k) {
      const Quad<T> v = columns_.get(k);
      T w[4];
#pragma unroll
      for (int e = 0; e < 4; ++e) w[e] = step.of_entry(magnitude(v.at[e]), origin_);
      Quad<T> gradient{};
#pragma unroll 1
      for (int i = 0; i < here_; ++i) {
        const T u = s_.u[i], ahead = s_.negative_weight[i], behind = -s_.rank_weight[i];
        const int own = s_.column[i];
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const T by = !is_marked(v.at[e]) ? ahead : k + e == own ? T(0) : behind;
          gradient.at[e] += by * steepness_of(step.at(u, w[e]));
        }
      }
#pragma unroll
      for (int e = 0; e < 4; ++e) gradient.at[e] *= slope;
      source_.add_by_cosine(k, gradient, first_ == 0);
    });
  }
};

}  // namespace drsl::cuda
