#pragma once
// Numbers as they lie in memory, without torch: 16-byte packs of them, and the type they accumulate in.
#include <cstdint>

#if defined(__CUDACC__)
#include <cuda_fp16.h>
#else
#include <bit>
#endif

#include "cuda/launch.h"

namespace drsl::cuda {

struct Half {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

__device__ __forceinline__ double widen(double x) { return x; }
__device__ __forceinline__ float widen(float x) { return x; }
__device__ __forceinline__ float widen(BFloat16 x) {
#if defined(__CUDACC__)
  return __uint_as_float(uint32_t(x.bits) << 16);
#else
  return std::bit_cast<float>(uint32_t(x.bits) << 16);
#endif
}
__device__ __forceinline__ float widen(Half x) {
#if defined(__CUDACC__)
  return __half2float(__ushort_as_half(x.bits));
#else  // exponent and mantissa move up; 2^112 makes up for the exponents' different zero
  const uint32_t magnitude = x.bits & 0x7fffu, sign = uint32_t(x.bits & 0x8000u) << 16;
  const float value = std::bit_cast<float>(magnitude << 13) * 0x1p112f;
  const uint32_t finite = std::bit_cast<uint32_t>(value), special = magnitude << 13 | 0x7f800000u;
  return std::bit_cast<float>(sign | (magnitude >= 0x7c00u ? special : finite));
#endif
}

// Moved by one instruction, if the address is a multiple of 16.
template <class E>
struct alignas(16) Pack {
  static constexpr int kCount = 16 / sizeof(E);
  E at[kCount];
};

// Numbers [k, k + kCount) of a row of D, zero beyond its end. aligned: rows begin at multiples of 16 bytes.
template <class E>
__device__ __forceinline__ Pack<E> load_pack(const E* row, int64_t k, int64_t D, bool aligned) {
  if (aligned && k < D) return *reinterpret_cast<const Pack<E>*>(row + k);
  Pack<E> pack{};
#pragma unroll
  for (int i = 0; i < Pack<E>::kCount; ++i)
    if (k + i < D) pack.at[i] = row[k + i];
  return pack;
}

}  // namespace drsl::cuda
