#pragma once
// tile_ops.cuh on host threads.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "cuda/element.cuh"
#include "cuda_on_host.h"

namespace drsl::cuda {

inline uint32_t float_bits(float x) { return std::bit_cast<uint32_t>(x); }
inline float bits_float(uint32_t bits) { return std::bit_cast<float>(bits); }

inline cuda_on_host::LateCopies& late_copies() {
  return cuda_on_host::this_block().thread().copies;
}

template <int kBytes>
void cp_async(void* to, const void* from, bool valid = true) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
  if ((reinterpret_cast<uintptr_t>(to) | reinterpret_cast<uintptr_t>(from)) % kBytes != 0)
    cuda_on_host::fail("cp.async from or to an address that is not aligned");
  late_copies().add(to, from, valid ? kBytes : 0, kBytes);
}
inline void cp_async_16(void* to, const void* from, bool valid = true) {
  cp_async<16>(to, from, valid);
}
inline void cp_async_commit() { late_copies().commit(); }
template <int kGroups>
void cp_async_wait() {
  late_copies().wait(kGroups);
}

inline void ldmatrix_x4(uint32_t (&out)[4], const void* row) {
  if (reinterpret_cast<uintptr_t>(row) % 16 != 0) cuda_on_host::fail("ldmatrix is not aligned");
  const unsigned char* rows[32];
  cuda_on_host::gather("ldmatrix", ~0u, static_cast<const unsigned char*>(row), rows);
  const unsigned lane = cuda_on_host::lane();
  for (unsigned m = 0; m < 4; ++m)
    std::memcpy(&out[m], rows[8 * m + lane / 4] + lane % 4 * 4, sizeof out[m]);
  cuda_on_host::gather("ldmatrix", ~0u, static_cast<const unsigned char*>(row),
                       rows);  // all have read
}

struct FragmentA {
  uint32_t word[4];
};
struct FragmentB {
  uint32_t word[2];
};

// c + Σ_k a_k b_k: products are exact, aligned to the largest, cut off two bits below float's last, and
// so is the sum.
template <int K>
float truncated_sum(float c, const float (&a)[K], const float (&b)[K]) {
  double term[K + 1], largest = 0;
  for (int k = 0; k < K; ++k) term[k] = double(a[k]) * double(b[k]);
  term[K] = c;
  for (const double t : term) {
    if (!std::isfinite(t)) return std::numeric_limits<float>::quiet_NaN();
    largest = std::max(largest, std::fabs(t));
  }
  if (largest == 0) return 0;
  int exponent;
  std::frexp(largest, &exponent);
  const double unit = std::ldexp(1.0, exponent - 26);
  double sum = 0;
  for (const double t : term) sum += std::trunc(t / unit) * unit;
  if (sum == 0) return 0;
  std::frexp(sum, &exponent);
  const double last = std::ldexp(1.0, exponent - 24);
  return float(std::trunc(sum / last) * last);
}

// In 16-bit types lane l has numbers 2(l % 4) and + 1 of row l / 4, in its first word those of k < 8; in
// 32-bit types number l % 4, in its first words those of k < 4.
template <int K, class Number>
void mma(const char* name, float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1,
         Number number) {
  constexpr int kPerWord = K / 8;
  FragmentA all_a[32];
  FragmentB all_b[32];
  cuda_on_host::gather(name, ~0u, FragmentA{{a[0], a[1], a[2], a[3]}}, all_a);
  cuda_on_host::gather(name, ~0u, FragmentB{{b0, b1}}, all_b);
  const int lane = int(cuda_on_host::lane());
  for (int e = 0; e < 4; ++e) {
    const int row = lane / 4, column = lane % 4 * 2 + e % 2;
    float left[K], right[K];
    for (int k = 0; k < K; ++k) {
      const int half = k / (K / 2), from = k % (K / 2) / kPerWord;
      left[k] = number(all_a[row * 4 + from].word[e / 2 + 2 * half], k % kPerWord);
      right[k] = number(all_b[column * 4 + from].word[half], k % kPerWord);
    }
    c[e] = truncated_sum(c[e], left, right);
  }
}

inline void mma_tf32(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  mma<8>("mma", c, a, b0, b1, [](uint32_t word, int) { return bits_float(word & 0xffffe000u); });
}
inline void mma_bfloat16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  mma<16>("mma", c, a, b0, b1,
          [](uint32_t word, int i) { return widen(BFloat16{uint16_t(word >> 16 * i)}); });
}
inline void mma_half(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  mma<16>("mma", c, a, b0, b1,
          [](uint32_t word, int i) { return widen(Half{uint16_t(word >> 16 * i)}); });
}

inline float flush_denormal(float x) {
  return std::fabs(x) < std::numeric_limits<float>::min() ? std::copysign(0.0f, x) : x;
}
inline float fast_sqrt(float x) { return std::sqrt(flush_denormal(x)); }
inline float fast_reciprocal(float x) { return flush_denormal(1 / flush_denormal(x)); }

}  // namespace drsl::cuda
