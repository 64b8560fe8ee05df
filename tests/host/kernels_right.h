#pragma once
// Kernels without a bug, and with a template argument that takes out what they need: a barrier, a wait.
#include <cstdint>

#include "cuda/launch.h"
#include "cuda/warp.cuh"

namespace {

using drsl::cuda::kAllLanes;

// A row's sum by a block: warps first, then their sums.
constexpr int kRowThreads = 128;
template <bool kBarrier>
__global__ void __launch_bounds__(kRowThreads, 1) row_sums(const int* x, int* out, int columns) {
  __shared__ int parts[kRowThreads / 32];
  int sum = 0;
  for (int k = int(threadIdx.x); k < columns; k += kRowThreads)
    sum += x[blockIdx.x * unsigned(columns) + unsigned(k)];
  sum = drsl::cuda::warp_sum(sum);
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = sum;
  if (kBarrier) __syncthreads();
  if (threadIdx.x > 0) return;
  for (int w = 1; w < kRowThreads / 32; ++w) sum += parts[w];
  out[blockIdx.x] = sum;
}

// Inclusive prefix sums, doubling the distance at each step.
constexpr int kScanThreads = 200;
template <bool kBarrier>
__global__ void __launch_bounds__(kScanThreads, 1) scan(const int* x, int* out) {
  DRSL_DYNAMIC_SHARED(int, sums);
  const int i = int(threadIdx.x);
  sums[i] = x[i];
  __syncthreads();
  for (int distance = 1; distance < kScanThreads; distance *= 2) {
    const int before = i >= distance ? sums[i - distance] : 0;
    if (kBarrier) __syncthreads();
    sums[i] += before;
    __syncthreads();
  }
  out[i] = sums[i];
}

template <bool kBarrier>
__global__ void __launch_bounds__(256, 1) transpose(const int* x, int* out, int rows, int columns) {
  __shared__ int tile[16][17];
  const int i = int(threadIdx.y), j = int(threadIdx.x);
  const int r = int(blockIdx.y) * 16 + i, c = int(blockIdx.x) * 16 + j;
  if (r < rows && c < columns) tile[i][j] = x[r * columns + c];
  if (kBarrier) __syncthreads();
  const int r_out = int(blockIdx.y) * 16 + j, c_out = int(blockIdx.x) * 16 + i;
  if (r_out < rows && c_out < columns) out[c_out * rows + r_out] = tile[j][i];
}

// Copies that land at their wait, read by another thread behind a barrier.
constexpr int kStageThreads = 128;
template <bool kWait, bool kBarrier>
__global__ void __launch_bounds__(kStageThreads, 1) staged_copies(const int* x, int* out) {
  alignas(16) __shared__ int stage[kStageThreads][4];
  auto& copies = cuda_on_host::this_block().thread().copies;
  const unsigned i = threadIdx.x;
  copies.add(stage[i], x + 4 * i, 16, 16);
  copies.commit();
  if (kWait) copies.wait(0);
  if (kBarrier) __syncthreads();
  out[i] = stage[(i + 40) % kStageThreads][1];
}

// wrong[0]: how often a collective gave something else than it is defined to give.
inline void count_wrong(int* wrong, bool right) {
  if (!right) atomicAdd(wrong, 1);
}
__global__ void __launch_bounds__(96, 1) collectives(int* wrong) {
  const int lane = int(threadIdx.x % 32), own = 3 * lane + 1;
  count_wrong(wrong, __shfl_sync(kAllLanes, own, 7) == 22);
  count_wrong(wrong, __shfl_sync(kAllLanes, own, 7, 8) == 3 * (lane / 8 * 8 + 7) + 1);
  count_wrong(wrong, __shfl_xor_sync(kAllLanes, own, 5) == 3 * (lane ^ 5) + 1);
  count_wrong(wrong, __shfl_down_sync(kAllLanes, own, 4) == 3 * (lane < 28 ? lane + 4 : lane) + 1);
  count_wrong(wrong, __shfl_up_sync(kAllLanes, own, 4) == 3 * (lane < 4 ? lane : lane - 4) + 1);
  count_wrong(wrong, __shfl_xor_sync(kAllLanes, 0.5 * own, 1) == 0.5 * (3 * (lane ^ 1) + 1));
  count_wrong(wrong, __shfl_sync(kAllLanes, lane % 2 == 0, 3) == 0);
  count_wrong(wrong, __ballot_sync(kAllLanes, lane % 3 == 0) == 0x49249249u);
  count_wrong(wrong, __any_sync(kAllLanes, lane == 9) && !__any_sync(kAllLanes, lane > 40));
  count_wrong(wrong, __all_sync(kAllLanes, lane < 32) && !__all_sync(kAllLanes, lane < 31));
  count_wrong(wrong, __reduce_add_sync(kAllLanes, lane) == 496);
  count_wrong(wrong, __reduce_min_sync(kAllLanes, lane - 5) == -5);
  count_wrong(wrong, __reduce_max_sync(kAllLanes, unsigned(lane)) == 31u);
  count_wrong(wrong, __match_any_sync(kAllLanes, lane / 16) == 0xffffu << lane / 16 * 16);
  count_wrong(wrong, __activemask() == kAllLanes);
  count_wrong(wrong, __syncthreads_count(threadIdx.x < 40) == 40);
  count_wrong(wrong, __syncthreads_or(threadIdx.x == 90) && !__syncthreads_or(0));
  count_wrong(wrong, __syncthreads_and(1) && !__syncthreads_and(threadIdx.x != 50));
}

// Halves of a warp that go through different numbers of collectives before they meet.
inline int subset_sum(int i) { return i % 32 < 8 ? 28 + 496 : 496; }
__global__ void __launch_bounds__(64, 1) subset_collectives(int* out) {
  const int lane = int(threadIdx.x % 32);
  int sum = 0;
  if (lane < 8) {
    int part = lane;
    for (int lanes = 4; lanes > 0; lanes /= 2) part += __shfl_xor_sync(0xffu, part, lanes);
    sum = part;
    __syncwarp(0xffu);
  }
  out[threadIdx.x] = sum + drsl::cuda::warp_sum(lane);
}

__global__ void __launch_bounds__(50, 1) atomics(unsigned* at) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  atomicAdd(&at[0], 1);
  atomicMax(&at[1], i);
  atomicMin(&at[2], i);
  atomicCAS(&at[3], 0u, 1u);
  atomicInc(&at[4], 7u);
  atomicOr(&at[5], 1u << i % 3);
}

__global__ void __launch_bounds__(64, 1) numbers_itself(int* out) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const unsigned i = block * blockDim.x * blockDim.y * blockDim.z + thread;
  out[i] = int(i);
}

__global__ void __launch_bounds__(32, 1) nothing(int) {}

__global__ void __launch_bounds__(32, 1) barrier_of_all(int* out) {
  __syncthreads();
  out[threadIdx.x] = 1;
}

// Writes all of its dynamic shared memory, and some bytes behind it.
__global__ void __launch_bounds__(32, 1) dynamic_bytes(size_t bytes, size_t beyond) {
  DRSL_DYNAMIC_SHARED(unsigned char, memory);
  for (size_t i = threadIdx.x; i < bytes + beyond; i += 32) memory[i] = 1;
}

}  // namespace
