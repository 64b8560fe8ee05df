#pragma once
// Listed entries, by their distances; then what the places of a query's matches say. A block a query.
#include "cuda/match.h"

namespace drsl::cuda {

// How many matches are before entry k at distance d².
__device__ __forceinline__ int matches_before(const MatchTask& task, int64_t q, int matches,
                                              double d2, int32_t k) {
  const double* const value = task.value + q * task.slots;
  const int32_t* const column = task.column + q * task.slots;
  return first_not(0, matches,
                   [&](int p) { return value[p] < d2 || (value[p] == d2 && column[p] < k); });
}

// Shared memory: task.slots numbers.
template <class E>
__global__ void __launch_bounds__(kMatchThreads, 4)
    settle(MatchTask task, Features<E> features, ScoresOut out) {
  DRSL_DYNAMIC_SHARED(unsigned, before);
#pragma unroll 1
  for (int64_t q = blockIdx.x; q < task.queries; q += gridDim.x) {
    const int matches = task.threshold[q].matches;
    const int64_t listed = task.listed[q];
    const bool given_up = matches < 0 || listed > task.limit;
#pragma unroll 1
    for (int p = int(threadIdx.x); p < matches; p += kMatchThreads)
      before[p] = task.before[q * task.slots + p];
    __syncthreads();
#pragma unroll 1
    for (int64_t i = warp_index(); !given_up && i < listed; i += kMatchWarps) {
      const int32_t k = task.list[q * task.limit + i];
      const double d2 = features.distance(q, k);
      if (lane_index() > 0) continue;
      const int p = matches_before(task, q, matches, d2, k);
      if (p < matches) atomicAdd(&before[p], 1u);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      unsigned sum = 0;
      for (int p = 0; p < matches; ++p) before[p] = sum = sum + before[p];
      Scores scores =
          scores_by([&](int64_t p) { return before[p]; }, given_up ? 0 : max(matches, 0));
      if (given_up) scores.first = -1;
      out.ap[q] = scores.ap;
      out.inp[q] = scores.inp;
      out.first[q] = scores.first;
    }
    __syncthreads();
  }
}

}  // namespace drsl::cuda
