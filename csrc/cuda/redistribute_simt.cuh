#pragma once
// slab^T × operand by plain multiply-adds, 4 × 4 numbers at a time.
#include "cuda/redistribute_tile.cuh"

namespace drsl::cuda {

// Multiplies in T: a thread holds kRowGroups × kDimGroups squares of 4 × 4 of the tile.
template <class T, int threads, int rows, int dims, int blocks>
struct SimtMultiply : TileShape<threads, rows, dims> {
  static constexpr int kBlocks = blocks;  // an SM
  static constexpr int kAcross = 16, kDown = threads / kAcross;
  static constexpr int kRowGroups = rows / (4 * kDown), kDimGroups = dims / (4 * kAcross);
  static constexpr int kFlush = 512;  // terms that are added up before the sum is

  T sum[4 * kRowGroups][4 * kDimGroups] = {};

  template <class E>
  static __device__ __forceinline__ int swizzle(int) {
    return 0;
  }
  static __device__ __forceinline__ T round(T coefficient) { return coefficient; }
  static __device__ __forceinline__ void arrange(QuadOf<T> (&)[2]) {}  // of two terms: as they are

  // A warp is 8 threads across and 4 down: what its threads read lies in as few banks as can be.
  static __device__ __forceinline__ int across() { return lane_index() % 8 + warp_index() % 2 * 8; }
  static __device__ __forceinline__ int down() { return lane_index() / 8 + warp_index() / 2 * 4; }
  static __device__ __forceinline__ int row(int group) { return 4 * (down() + group * kDown); }
  static __device__ __forceinline__ int dim(int group) { return 4 * (across() + group * kAcross); }
  __device__ __forceinline__ T& at(int row, int dim) { return sum[row][dim]; }

  template <class E>
  __device__ __forceinline__ void operator()(const T* slab, const E* operand) {
#pragma unroll 8
    for (int k = 0; k < kSlab; ++k) {
      QuadOf<T> c[kRowGroups];
      QuadOf<E> x[kDimGroups];
#pragma unroll
      for (int i = 0; i < kRowGroups; ++i)
        c[i] = *reinterpret_cast<const QuadOf<T>*>(slab + k * rows + row(i));
#pragma unroll
      for (int j = 0; j < kDimGroups; ++j)
        x[j] = *reinterpret_cast<const QuadOf<E>*>(operand + k * dims + dim(j));
#pragma unroll
      for (int i = 0; i < 4 * kRowGroups; ++i)
#pragma unroll
        for (int j = 0; j < 4 * kDimGroups; ++j)
          sum[i][j] += c[i / 4].at[i % 4] * T(widen(x[j / 4].at[j % 4]));
    }
  }
};

}  // namespace drsl::cuda
