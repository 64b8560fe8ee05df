#pragma once
// A row as policies see it that take each entry by itself (Way::kEach), a block a query.
//
// Columns are signed (turn_each.cuh): a set sign bit marks a positive. Sums are formed thread by thread
// and then across the block, in a fixed order.
#include "core/losses/policy.h"
#include "cuda/signed_columns.cuh"

namespace drsl::cuda {

// Shared memory of a block.
template <class T>
struct EachShared {
  T sum[2][kRowWarps];
  T distance[2][kRowWarps];  // of the hardest positive and negative of each warp
  int column[2][kRowWarps];
};

template <class T, class Source, class Columns>
class EachRow {
 public:
  __device__ __forceinline__ EachRow(int entries, EachShared<T>& shared, const Source& source,
                                     const Columns& columns)
      : entries_(entries), s_(shared), source_(source), columns_(columns) {}

  __device__ __forceinline__ int entries() const { return entries_; }

  template <class Positive, class Negative>
  __device__ __forceinline__ void map_pairs(Positive positive, Negative negative) {
    for_each_quad(source_.padded(), [&](int k) {
      const Quad<T> v = columns_.get(k);
      Quad<T> d, charge{};
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        d.at[e] = magnitude(v.at[e]);
        if (!(d.at[e] < kInfinity<T>)) continue;
        const bool is_positive = is_marked(v.at[e]);
        const Slope<T> s = is_positive ? positive(d.at[e]) : negative(d.at[e]);
        term_[0] += is_positive ? s.value : T(0);
        term_[1] += is_positive ? T(0) : s.value;
        charge.at[e] = -s.slope;
      }
      if (source_.gradient()) source_.write(k, d, charge);
    });
    for (int t = 0; t < 2; ++t) term_[t] = block_sum<kRowThreads>(term_[t], s_.sum[t]);
  }

  // loss(distance of the farthest positive, of the nearest negative); of equal ones the lowest column.
  template <class Loss>
  __device__ __forceinline__ void hardest(Loss loss) {
    Entry far{-kInfinity<T>, kNone}, near{kInfinity<T>, kNone};
    for_each_quad(source_.padded(), [&](int k) {
      const Quad<T> v = columns_.get(k);
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const T d = magnitude(v.at[e]);
        if (!(d < kInfinity<T>)) continue;
        if (is_marked(v.at[e]))
          far = d > far.distance ? Entry{d, k + e} : far;
        else
          near = d < near.distance ? Entry{d, k + e} : near;
      }
    });
    far = hardest_of_block<0>(far, [](T a, T b) { return a > b; });
    near = hardest_of_block<1>(near, [](T a, T b) { return a < b; });
    const Slope<T> s = loss(far.distance, near.distance);
    term_[0] = s.value;
    if (!source_.gradient()) return;
    for_each_quad(source_.padded(), [&](int k) {
      Quad<T> d = columns_.get(k), charge{};
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        d.at[e] = magnitude(d.at[e]);
        if (k + e == far.column) charge.at[e] = -s.slope;
        if (k + e == near.column) charge.at[e] = s.slope;
      }
      source_.write(k, d, charge);
    });
  }

  __device__ __forceinline__ T total(int t) const { return t < 2 ? term_[t] : T(0); }

 private:
  static constexpr int kNone = 0x7fffffff;

  struct Entry {
    T distance;
    int column;
  };

  const int entries_;
  EachShared<T>& s_;
  const Source& source_;
  const Columns& columns_;
  T term_[2] = {0, 0};

  template <class Before>
  static __device__ __forceinline__ Entry harder(Entry a, Entry b, Before before) {
    const bool first =
        before(a.distance, b.distance) || (!before(b.distance, a.distance) && a.column < b.column);
    return first ? a : b;
  }

  template <int kWhich, class Before>
  __device__ __forceinline__ Entry hardest_of_block(Entry own, Before before) {
#pragma unroll
    for (int lanes = 16; lanes > 0; lanes /= 2) {
      const Entry other{__shfl_xor_sync(kAllLanes, own.distance, lanes),
                        __shfl_xor_sync(kAllLanes, own.column, lanes)};
      own = harder(own, other, before);
    }
    if (lane_index() == 0) {
      s_.distance[kWhich][warp_index()] = own.distance;
      s_.column[kWhich][warp_index()] = own.column;
    }
    __syncthreads();
    own = {s_.distance[kWhich][0], s_.column[kWhich][0]};
    for (int w = 1; w < kRowWarps; ++w)
      own = harder(own, Entry{s_.distance[kWhich][w], s_.column[kWhich][w]}, before);
    return own;
  }
};

}  // namespace drsl::cuda
