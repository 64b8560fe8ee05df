#pragma once
// slab^T × operand on tensor cores, in TF32. A warp takes 32·kRowGroups × 32 numbers of the tile.
//
// Terms, rows and dimensions are dealt out so that what lane 4g + t wants of 8 terms lies side by side:
// terms t and t + 4 of a product are terms 2t and 2t + 1, row g + 8b of the i-th matrix of 16 rows is row
// 4g + 2i + b of a group of 32, and column g of the j-th matrix of 8 columns is dimension 4g + j.
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
    return term / 2 % 4 * (sizeof(N) == 2 ? 4 : 2);
  }
  static __device__ __forceinline__ float round(float coefficient) {
    if constexpr (kTerms == 3) return coefficient;
    return coefficient == coefficient ? round_tf32(coefficient) : NAN;  // NaN has no bits to spare
  }

  // Four rows of two terms → a fragment of the first two rows and one of the others: [term][row].
  static __device__ __forceinline__ void arrange(QuadOf<float> (&line)[2]) {
    const QuadOf<float> even = line[0], odd = line[1];
    line[0] = {even.at[0], even.at[1], odd.at[0], odd.at[1]};
    line[1] = {even.at[2], even.at[3], odd.at[2], odd.at[3]};
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
      const auto x0 = *quad_at(operand, k + 2 * t, across, dims),
                 x1 = *quad_at(operand, k + 2 * t + 1, across, dims);
#pragma unroll
      for (int i = 0; i < kRowGroups; ++i) {
        const auto c0 = *quad_at(slab, k + 2 * t, down + 8 * i, rows),
                   c1 = *quad_at(slab, k + 2 * t + 1, down + 8 * i, rows);
        multiply(c0, c1, x0, x1, sum + 2 * i);
      }
    }
  }

 private:
  template <class N>
  static __device__ __forceinline__ const QuadOf<N>* quad_at(const N* slab, int term, int quad,
                                                             int line) {
    return reinterpret_cast<const QuadOf<N>*>(slab + place<MmaMultiply, N>(term, quad, line));
  }

  // 32 rows × 32 dimensions.
  static __device__ __forceinline__ void multiply(const QuadOf<float>& c0, const QuadOf<float>& c1,
                                                  const QuadOf<E>& x0, const QuadOf<E>& x1,
                                                  float (*sum)[4][4]) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const QuadOf<float>& c = i == 0 ? c0 : c1;
      uint32_t high[4], low[4];
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        const Split split(c.at[n]);
        high[n] = kTerms == 3 ? split.high : float_bits(c.at[n]), low[n] = split.low;
      }
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        if constexpr (kTerms == 1) {
          mma_tf32(sum[i][j], high, operand_bits(x0.at[j]), operand_bits(x1.at[j]));
        } else {
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
