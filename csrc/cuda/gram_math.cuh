#pragma once
// How a warp multiplies fragments of x and r, and adds up.
//
// Tensor cores are published to cut off what does not fit into a sum, so a long chain of additions to
// one accumulator drifts towards zero where numbers have one sign. Sums of kPromoted therefore move to a
// total that rounds, slab by slab.
#include <cstdint>

#include "cuda/element.cuh"
#include "cuda/tile_ops.cuh"

namespace drsl::cuda {

__device__ __forceinline__ void mma(Half, float (&c)[4], const uint32_t (&a)[4], uint32_t b0,
                                    uint32_t b1) {
  mma_half(c, a, b0, b1);
}
__device__ __forceinline__ void mma(BFloat16, float (&c)[4], const uint32_t (&a)[4], uint32_t b0,
                                    uint32_t b1) {
  mma_bfloat16(c, a, b0, b1);
}
__device__ __forceinline__ void mma(float, float (&c)[4], const uint32_t (&a)[4], uint32_t b0,
                                    uint32_t b1) {
  mma_tf32(c, a, b0, b1);
}

template <int kDown, int kAcross>
struct MmaSums {
  float at[kDown][kAcross][4] = {};

  __device__ __forceinline__ void move_to(MmaSums& total) {
#pragma unroll
    for (int i = 0; i < kDown; ++i)
#pragma unroll
      for (int j = 0; j < kAcross; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e) total.at[i][j][e] += at[i][j][e], at[i][j][e] = 0;
  }
};

// One product a pair of numbers. Floats are rounded to TF32 first: cut off they would all be too short.
template <class E, int kDown, int kAcross, bool kPromoted>
struct PlainMath {
  static constexpr int kUnrolled = 4;  // steps of a slab
  MmaSums<kDown, kAcross> sums, total;

  __device__ __forceinline__ void add(uint32_t (&a)[kDown][4], uint32_t (&b)[kAcross / 2][4]) {
    if constexpr (sizeof(E) == 4) {
#pragma unroll
      for (int i = 0; i < kDown; ++i) round(a[i]);
#pragma unroll
      for (int j = 0; j < kAcross / 2; ++j) round(b[j]);
    }
#pragma unroll
    for (int i = 0; i < kDown; ++i)
#pragma unroll
      for (int j = 0; j < kAcross; ++j)
        mma(E(), sums.at[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
  }
  __device__ __forceinline__ void end_slab() {
    if constexpr (kPromoted) sums.move_to(total);
  }
  __device__ __forceinline__ float result(int i, int j, int e) const {
    return kPromoted ? total.at[i][j][e] : sums.at[i][j][e];
  }

 private:
  static __device__ __forceinline__ void round(uint32_t (&words)[4]) {
#pragma unroll
    for (int w = 0; w < 4; ++w) words[w] = float_bits(round_tf32(bits_float(words[w])));
  }
};

// float from TF32: with x = hi + lo, each a TF32 number but for the last bits of lo,
//
//   x r ≈ hi hi + (lo hi + hi lo)
//
// lo·hi and hi·lo have sums of their own, which are added at the end: in one sum their order would
// differ between x·r and r·x, and with it the last bit. They are 2^-11 of the whole, so what is cut off
// there does not matter. hi·hi goes to a total that rounds at once: registers for a fourth sum are few.
template <int kDown, int kAcross>
struct SplitMath {
  static constexpr int kUnrolled = 1;  // a step is long enough, and registers are few
  MmaSums<kDown, kAcross> total, low_x, low_r;

  __device__ __forceinline__ void add(uint32_t (&a)[kDown][4], uint32_t (&b)[kAcross / 2][4]) {
    uint32_t a_low[kDown][4];
#pragma unroll
    for (int i = 0; i < kDown; ++i) split(a[i], a_low[i]);
#pragma unroll
    for (int j = 0; j < kAcross / 2; ++j) {
      uint32_t b_low[4];
      split(b[j], b_low);
#pragma unroll
      for (int half = 0; half < 2; ++half)
#pragma unroll
        for (int i = 0; i < kDown; ++i) {
          const int n = 2 * j + half, w = 2 * half;
          mma_tf32(low_x.at[i][n], a_low[i], b[j][w], b[j][w + 1]);
          mma_tf32(low_r.at[i][n], a[i], b_low[w], b_low[w + 1]);
          float sum[4] = {};
          mma_tf32(sum, a[i], b[j][w], b[j][w + 1]);
#pragma unroll
          for (int e = 0; e < 4; ++e) total.at[i][n][e] += sum[e];
        }
    }
  }
  __device__ __forceinline__ void end_slab() {}
  __device__ __forceinline__ float result(int i, int j, int e) const {
    return total.at[i][j][e] + (low_x.at[i][j][e] + low_r.at[i][j][e]);
  }

 private:
  // lo has either sign, as hi is rounded: the bits of it that the tensor core ignores have no bias.
  static __device__ __forceinline__ void split(uint32_t (&words)[4], uint32_t (&low)[4]) {
#pragma unroll
    for (int w = 0; w < 4; ++w) {
      const float x = bits_float(words[w]), high = round_tf32(x);
      words[w] = float_bits(high), low[w] = float_bits(x - high);
    }
  }
};

}  // namespace drsl::cuda
