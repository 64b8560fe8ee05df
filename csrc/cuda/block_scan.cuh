#pragma once
// Running sums over memory, by one block:  store(k, value(0) + … + value(k))  for all k < count.
//
// Each thread takes a run of neighbours, so that all but 10 of the additions are made one after the
// other; the order is fixed by count alone. Sums are anything with an associative `then`, the first
// ones from the left being Sum{}: numbers side by side, segments that begin anew, shifted coordinates.
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "cuda/warp.cuh"

namespace drsl::cuda {

// W numbers.
template <int W>
struct Sums {
  double v[W];

  __device__ __forceinline__ Sums then(const Sums& next) const {
    Sums sum;
#pragma unroll
    for (int w = 0; w < W; ++w) sum.v[w] = v[w] + next.v[w];
    return sum;
  }
};

// The same in segments: where one begins, what came before is forgotten.
template <int W>
struct SegmentedSums {
  Sums<W> sum;
  int64_t begins;  // whether a segment does so in here

  __device__ __forceinline__ SegmentedSums then(const SegmentedSums& next) const {
    SegmentedSums both{next.sum, begins | next.begins};
    if (!next.begins) both.sum = sum.then(next.sum);
    return both;
  }
};

// What a lane `lanes` below has.
template <class S>
__device__ __forceinline__ S shift_up(const S& s, int lanes) {
  static_assert(std::is_trivially_copyable_v<S> && sizeof(S) % 8 == 0);
  constexpr int kWords = sizeof(S) / 8;
  unsigned long long word[kWords];
  std::memcpy(word, &s, sizeof s);
#pragma unroll
  for (int w = 0; w < kWords; ++w) word[w] = __shfl_up_sync(kAllLanes, word[w], lanes);
  S below;
  std::memcpy(&below, word, sizeof below);
  return below;
}

// `parts`: kThreads / 32 sums in shared memory, free before and after. What value reads must not be
// what store writes. Ends with a barrier.
template <int kThreads, class Sum, class Value, class Store>
__device__ __forceinline__ void block_scan(int count, Sum* parts, Value value, Store store) {
  const int run = (count + kThreads - 1) / kThreads;
  const int first = min(int(threadIdx.x) * run, count), end = min(first + run, count);
  Sum upto{};
#pragma unroll 1
  for (int k = first; k < end; ++k) upto = upto.then(value(k));
#pragma unroll
  for (int lanes = 1; lanes < 32; lanes *= 2) {
    const Sum below = shift_up(upto, lanes);
    if (lane_index() >= lanes) upto = below.then(upto);
  }
  if (lane_index() == 31) parts[warp_index()] = upto;
  upto = shift_up(upto, 1);
  if (lane_index() == 0) upto = Sum{};
  __syncthreads();
  Sum sum{};
#pragma unroll 1
  for (int w = 0; w < warp_index(); ++w) sum = sum.then(parts[w]);
  sum = sum.then(upto);
#pragma unroll 1
  for (int k = first; k < end; ++k) {
    sum = sum.then(value(k));
    store(k, sum);
  }
  __syncthreads();
}

}  // namespace drsl::cuda
