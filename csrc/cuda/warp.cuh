#pragma once
// Sums and votes of warps and blocks. Every order of additions is fixed.
#include <cstdint>

#include "cuda/launch.h"

namespace drsl::cuda {

constexpr unsigned kAllLanes = 0xffffffffu;

__device__ __forceinline__ int lane_index() { return int(threadIdx.x % 32); }
__device__ __forceinline__ int warp_index() { return int(threadIdx.x / 32); }

// The same sum in all lanes, to the bit.
template <class T>
__device__ __forceinline__ T warp_sum(T x) {
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes /= 2) x += __shfl_xor_sync(kAllLanes, x, lanes);
  return x;
}

// Sum over a block of kThreads threads, in all of them. `parts`: kThreads / 32 numbers in shared
// memory, free again after the next barrier.
template <int kThreads, class T>
__device__ __forceinline__ T block_sum(T x, T* parts) {
  x = warp_sum(x);
  if (lane_index() == 0) parts[warp_index()] = x;
  __syncthreads();
  T sum = 0;
#pragma unroll
  for (int w = 0; w < kThreads / 32; ++w) sum += parts[w];
  return sum;
}

}  // namespace drsl::cuda
