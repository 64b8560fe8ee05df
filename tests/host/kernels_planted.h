#pragma once
// Kernels with a bug each.
#include <cstdint>
#include <memory>

#include "cuda/launch.h"

namespace {

constexpr unsigned kEveryLane = 0xffffffffu;

// No barrier between writing and reading, but a shuffle: who goes from collective to collective with all
// warps sees nothing.
__global__ void __launch_bounds__(64, 1) behind_shuffles(int* out) {
  __shared__ int memory[64];
  memory[threadIdx.x] = int(threadIdx.x);
  const int other = __shfl_sync(kEveryLane, int(threadIdx.x), 0) == 0 ? 32 : -32;
  out[threadIdx.x] = memory[int(threadIdx.x) + other];
}

__global__ void __launch_bounds__(32, 1) divergent_barriers(int* out) {
  if (threadIdx.x < 16)
    __syncthreads();
  else
    __syncthreads();
  out[threadIdx.x] = int(threadIdx.x);
}

__global__ void __launch_bounds__(64, 1) early_return(int* out) {
  out[threadIdx.x] = int(threadIdx.x);
  if (threadIdx.x == 33) return;
  __syncthreads();
}

__global__ void __launch_bounds__(32, 1) mask_without_caller(int* out) {
  out[threadIdx.x] = __shfl_sync(0xffffu, int(threadIdx.x), int(threadIdx.x));
}

__global__ void __launch_bounds__(32, 1) masks_differ(int* out) {
  const unsigned mask = threadIdx.x == 3 ? kEveryLane >> 1 : kEveryLane;
  out[threadIdx.x] = __shfl_sync(mask | 1u << threadIdx.x, int(threadIdx.x), int(threadIdx.x));
}

__global__ void __launch_bounds__(32, 1) collectives_differ(int* out) {
  out[threadIdx.x] = int(threadIdx.x);
  if (threadIdx.x < 16)
    out[threadIdx.x] += __any_sync(kEveryLane, 0);
  else
    __syncwarp();
}

__global__ void __launch_bounds__(32, 1) returned_lane(int* out) {
  out[threadIdx.x] = int(threadIdx.x);
  if (threadIdx.x == 0) return;
  __syncwarp();
}

__global__ void __launch_bounds__(32, 1) source_outside_mask(int* out) {
  out[threadIdx.x] = int(threadIdx.x);
  if (threadIdx.x < 8) out[threadIdx.x] = __shfl_sync(0xffu, int(threadIdx.x), 9);
}

// The block has 20 threads: nobody is at the other end of the shuffle.
__global__ void __launch_bounds__(32, 1) missing_lane(int* out) {
  out[threadIdx.x] = int(threadIdx.x);
  out[threadIdx.x] += 0 * __shfl_xor_sync(kEveryLane, 1, 16);
}

__global__ void __launch_bounds__(64, 1) deadlock(int* out) {
  out[threadIdx.x] = int(threadIdx.x);
  if (threadIdx.x < 16)
    __syncthreads();
  else
    __syncwarp();
}

__global__ void __launch_bounds__(32, 1) unwritten_static(int* out) {
  __shared__ int memory[33];
  memory[threadIdx.x] = int(threadIdx.x);
  __syncthreads();
  out[threadIdx.x] = memory[threadIdx.x] + memory[32];  // as if it began as 0
}

__global__ void __launch_bounds__(32, 1) unwritten_dynamic(float* out) {
  DRSL_DYNAMIC_SHARED(float, memory);
  out[threadIdx.x] = memory[threadIdx.x];
}
inline bool unwritten_dynamic_reads_zero() {
  std::vector<float> out(32);
  DRSL_LAUNCH(unwritten_dynamic, 1, 32, 32 * sizeof(float), nullptr, out.data());
  return out == std::vector<float>(32);
}

__global__ void __launch_bounds__(32, 1) double_all(const float* x, float* y, int n) {
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (i <= n) y[i] = 2 * x[i];  // should be <
}
inline bool out_of_bounds() {
  const auto x = std::make_unique<float[]>(50), y = std::make_unique<float[]>(50);
  DRSL_LAUNCH(double_all, 2, 32, 0, nullptr, x.get(), y.get(), 50);
  return true;
}

__global__ void __launch_bounds__(32, 1) fill_too_far(int* out, int count) {
  __shared__ int memory[32];
  for (int i = 0; i < count; ++i) memory[i] = i;
  out[threadIdx.x] = memory[threadIdx.x];
}
inline bool static_out_of_bounds() {
  std::vector<int> out(32);
  DRSL_LAUNCH(fill_too_far, 1, 32, 0, nullptr, out.data(), 33);
  return true;
}

__global__ void __launch_bounds__(32, 1) stack_out_of_bounds(int* out) {
  volatile int own[4] = {};
  int* const first = const_cast<int*>(own);
  for (int i = 0; i <= 4; ++i) first[i] = int(threadIdx.x);
  out[threadIdx.x] = own[0];
}

__global__ void __launch_bounds__(32, 1) far_entry(const float* x, float* y, int rows, int ld) {
  const int at = (rows - 1) * ld;  // should be 64-bit
  *y = at < 0 ? 0.0f : x[0];
}
inline bool index_overflow() {
  const float x = 1;
  float y = 0;
  DRSL_LAUNCH(far_entry, 1, 1, 0, nullptr, &x, &y, 70000, 70000);
  return true;
}

__global__ void __launch_bounds__(32, 1) copy_vectors(const float* x, float4* y) {
  y[threadIdx.x] = *reinterpret_cast<const float4*>(x + 4 * threadIdx.x);
}
inline bool misaligned() {
  std::vector<float> x(200);
  std::vector<float4> y(32);
  const size_t off = reinterpret_cast<uintptr_t>(x.data()) % 16 == 0 ? 1 : 0;
  DRSL_LAUNCH(copy_vectors, 1, 32, 0, nullptr, x.data() + off, y.data());
  return true;
}

}  // namespace
