#pragma once
// slab^T × operand on tensor cores, in TF32. A warp takes 32·kRowGroups × 32 numbers of the tile.
//
// Lane 4g + t wants numbers of terms t and t + 4 for a product of 8 terms. Rows and dimensions are dealt
// out so that it finds four that it wants side by side: row 4g + 2i + b of a group of 32 is row g + 8b of
// the i-th matrix of 16 rows, and dimension 4g + j is column g of the j-th matrix of 8 columns.
#include "cuda/redistribute_tile.cuh"

namespace drsl::cuda {

// kTerms = 1: coefficients are rounded to TF32 before they are summed up, operands are rounded if they
// are float. kTerms = 3: both are split in two TF32 numbers, which gives float32 accuracy.
template <class E, int kTerms, int threads, int rows, int dims, int blocks>
struct MmaMultiply : TileShape<threads, rows, dims> {
  static constexpr int kBlocks = blocks;  // an SM
  static constexpr int kAcross = dims / 32, kDown = threads / 32 / kAcross;
  static constexpr int kRowGroups = rows / (32 * kDown), kDimGroups = 2;
  // Tensor cores truncate: each addition of 8 terms loses half a unit of the last digit on average.
  static constexpr int kFlush = 256;

  float sum[2 * kRowGroups][4][4] = {};  // [matrix of 16 rows][matrix of 8 columns][fragment]

  // Quads that a quarter or, of numbers of 2 bytes, half of a warp reads at once, lie in different banks.
  template <class N>
  static __device__ __forceinline__ int swizzle(int term) {
    return term % 4 * (sizeof(N) == 2 ? 4 : 2);
  }
  static __device__ __forceinline__ float round(float coefficient) {
    if constexpr (kTerms == 3) return coefficient;
    return coefficient == coefficient ? round_tf32(coefficient) : NAN;  // NaN has no bits to spare
  }

  static __device__ __forceinline__ int row(int group) {
    return (warp_index() / kAcross * kRowGroups + group) * 32 + lane_index() / 4 * 4;
  }
  static __device__ __forceinline__ int dim(int group) {
    return warp_index() % kAcross * 32 + lane_index() % 4 * 8 + group * 4;
  }
  __device__ __forceinline__ float& at(int row, int dim) {
    return sum[row / 2][dim % 4][row % 2 * 2 + dim / 4];
  }

  struct Split {
    uint32_t high, low;
    __device__ __forceinline__ explicit Split(float x) {
      const float rounded = round_tf32(x);
      high = float_bits(rounded), low = float_bits(x - rounded);  // NaN stays in the low part
    }
  };

  __device__ __forceinline__ void operator()(const float* slab, const E* operand) {
    const int thread = computed_here(int(threadIdx.x)), warp = thread / 32;
    const int t = thread % 4, g = thread % 32 / 4;
    const int down = warp / kAcross * kRowGroups * 8 + g, across = warp % kAcross * 8 + g;
#pragma unroll 2
    for (int k = 0; k < kSlab; k += 8) {
      const auto x0 = *quad_at(operand, k + t, across, dims),
                 x1 = *quad_at(operand, k + t + 4, across, dims);
#pragma unroll
      for (int i = 0; i < kRowGroups; ++i) {
        const auto c0 = *quad_at(slab, k + t, down + 8 * i, rows),
                   c1 = *quad_at(slab, k + t + 4, down + 8 * i, rows);
        multiply(c0, c1, x0, x1, sum + 2 * i);
      }
    }
  }

 private:
  template <class N>
  static __device__ __forceinline__ const Quad<N>* quad_at(const N* slab, int term, int quad,
                                                           int line) {
    return reinterpret_cast<const Quad<N>*>(slab + place<MmaMultiply, N>(term, quad, line));
  }

  // 32 rows × 32 dimensions.
  static __device__ __forceinline__ void multiply(const Quad<float>& c0, const Quad<float>& c1,
                                                  const Quad<E>& x0, const Quad<E>& x1,
                                                  float (*sum)[4][4]) {
    if constexpr (kTerms == 1) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const uint32_t a[4] = {float_bits(c0.at[2 * i]), float_bits(c0.at[2 * i + 1]),
                               float_bits(c1.at[2 * i]), float_bits(c1.at[2 * i + 1])};
#pragma unroll
        for (int j = 0; j < 4; ++j)
          mma_tf32(sum[i][j], a, operand_bits(x0.at[j]), operand_bits(x1.at[j]));
      }
    } else {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const Split a0(c0.at[2 * i]), a1(c0.at[2 * i + 1]), a2(c1.at[2 * i]), a3(c1.at[2 * i + 1]);
        const uint32_t high[4] = {a0.high, a1.high, a2.high, a3.high};
        const uint32_t low[4] = {a0.low, a1.low, a2.low, a3.low};
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const Split b0(x0.at[j]), b1(x1.at[j]);
          mma_tf32(sum[i][j], low, b0.high, b1.high);
          mma_tf32(sum[i][j], high, b0.low, b1.low);
          mma_tf32(sum[i][j], high, b0.high, b1.high);
        }
      }
    }
  }

  // The tensor core drops what TF32 has no digits for.
  static __device__ __forceinline__ uint32_t operand_bits(E x) {
    return float_bits(widen(x)) + (sizeof(E) == 4 ? 0x1000u : 0u);
  }
};

}  // namespace drsl::cuda
