#pragma once
// Instructions that C++ has no words for, each with a body for the device and one for host threads:
//
//   cp_async_*         copies to shared memory in the background
//   ldmatrix_x4, mma_* tensor cores; a fragment's lanes are those of the PTX manual
//   fast_*             approximations good to the last digit or two
//
// The bodies for host threads are pessimistic: a copy lands only when it is waited for, and mma truncates
// its sums as tensor cores are published to do.
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "cuda/launch.h"
#if defined(DRSL_CUDA_ON_HOST)
#include "cuda/tile_ops_host.h"
#else

namespace drsl::cuda {

__device__ __forceinline__ uint32_t float_bits(float x) { return __float_as_uint(x); }
__device__ __forceinline__ float bits_float(uint32_t bits) { return __uint_as_float(bits); }

__device__ __forceinline__ uint32_t shared_address(const void* p) {
  return uint32_t(__cvta_generic_to_shared(p));
}

// Copies kBytes = 4, 8 or 16 bytes; zeros, without reading, unless valid.
template <int kBytes>
__device__ __forceinline__ void cp_async(void* to, const void* from, bool valid = true) {
  const int read = valid ? kBytes : 0;
  if constexpr (kBytes == 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)),
                 "l"(from), "r"(read)
                 : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(shared_address(to)),
                 "l"(from), "n"(kBytes), "r"(read)
                 : "memory");
}
__device__ __forceinline__ void cp_async_16(void* to, const void* from, bool valid = true) {
  cp_async<16>(to, from, valid);
}
// Ends a group of copies.
__device__ __forceinline__ void cp_async_commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
// Until at most kGroups of this thread's latest groups are under way.
template <int kGroups>
__device__ __forceinline__ void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kGroups) : "memory");
}

// Four matrices of 8 rows × 16 bytes: lane l says where row l % 8 of matrix l / 8 lies, and gets word
// l % 4 of row l / 4 of each.
__device__ __forceinline__ void ldmatrix_x4(uint32_t (&out)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(shared_address(row))
               : "memory");
}

// c [16, 8] += a [16, K] · b [K, 8]
#define DRSL_MMA(name, shape, type)                                                        \
  __device__ __forceinline__ void name(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, \
                                       uint32_t b1) {                                      \
    asm("mma.sync.aligned." shape ".row.col.f32." type "." type                            \
        ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"             \
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])                                   \
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));                   \
  }
DRSL_MMA(mma_bfloat16, "m16n8k16", "bf16")
DRSL_MMA(mma_half, "m16n8k16", "f16")
DRSL_MMA(mma_tf32, "m16n8k8", "tf32")
#undef DRSL_MMA

// √0 = 0, NaN for NaN and below 0; denormal numbers are 0.
__device__ __forceinline__ float fast_sqrt(float x) {
  float root;
  asm("sqrt.approx.ftz.f32 %0, %1;" : "=f"(root) : "f"(x));
  return root;
}
// 1/∞ = 0; denormal numbers are 0.
__device__ __forceinline__ float fast_reciprocal(float x) {
  float inverse;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(inverse) : "f"(x));
  return inverse;
}

}  // namespace drsl::cuda
#endif

namespace drsl::cuda {

// float approximately, double exactly
__device__ __forceinline__ double fast_sqrt(double x) { return sqrt(x); }
__device__ __forceinline__ double fast_reciprocal(double x) { return 1 / x; }

// The nearest TF32 number, 10 bits of mantissa: two integer instructions, where cvt.rna.tf32 is five.
__device__ __forceinline__ float round_tf32(float x) {
  return bits_float((float_bits(x) + 0x1000u) & 0xffffe000u);
}

}  // namespace drsl::cuda
