#pragma once
// x·r on tensor cores. A warp has kDown · 16 × kAcross · 8 pairs of a tile and takes 32 bytes of each row
// at a time, 16 numbers of 16 bits or 8 floats: ldmatrix deals them out alike, so types differ in the
// multiplication only (gram_math.cuh). Every pair's numbers are added in the order of k, so all shapes
// of tiles give the same bits.
#include <cstdint>

#include "cuda/gram_math.cuh"
#include "cuda/gram_task.cuh"

namespace drsl::cuda {

// Tile, slabs in flight, blocks an SM, and the warps that share a tile, down × across.
template <int kTile_, int kStages_, int kBlocks_, int kWarpsDown_, int kWarpsAcross_>
struct MmaShape {
  static constexpr int kTile = kTile_, kStages = kStages_, kBlocks = kBlocks_;
  static constexpr int kWarpsDown = kWarpsDown_, kWarpsAcross = kWarpsAcross_;
  static constexpr int kThreads = 32 * kWarpsDown * kWarpsAcross;
  static constexpr int kRows = kTile / kWarpsDown, kColumns = kTile / kWarpsAcross;  // of a warp
  static constexpr int kDown = kRows / 16, kAcross = kColumns / 8;
};
using MmaLarge = MmaShape<128, 3, 2, 2, 4>;          // 128 registers a thread
using MmaLargePromoted = MmaShape<128, 3, 1, 2, 4>;  // totals take as many as sums
using MmaSmall = MmaShape<64, 2, 4, 2, 2>;
using MmaSplit = MmaShape<64, 3, 3, 2, 2>;  // 168 registers: four sums a pair

constexpr int kMmaStepBytes = 32;

// Where the warp's first pair is in the tile.
template <class Shape>
struct MmaPlace {
  int row, column;
  __device__ __forceinline__ MmaPlace() {
    const int warp = int(threadIdx.x) / 32;
    row = warp / Shape::kWarpsAcross * Shape::kRows;
    column = warp % Shape::kWarpsAcross * Shape::kColumns;
  }
};

template <class Shape, class Math>
__device__ __forceinline__ void add_mma_slab(const unsigned char* x, const unsigned char* r,
                                             Math& math) {
  const MmaPlace<Shape> place;
  const int lane = int(threadIdx.x) % 32;
  // of a: rows 0 to 15, then their other 16 bytes; of b: rows 0 to 7, their other 16, rows 8 to 15
  x += (place.row + lane % 16) * kGramRowBytes + lane / 16 * 16;
  r += (place.column + lane / 16 * 8 + lane % 8) * kGramRowBytes + lane / 8 % 2 * 16;
#pragma unroll(Math::kUnrolled)
  for (int at = 0; at < kGramSlabBytes; at += kMmaStepBytes) {
    uint32_t a[Shape::kDown][4], b[Shape::kAcross / 2][4];
#pragma unroll
    for (int i = 0; i < Shape::kDown; ++i) ldmatrix_x4(a[i], x + i * 16 * kGramRowBytes + at);
#pragma unroll
    for (int j = 0; j < Shape::kAcross / 2; ++j) ldmatrix_x4(b[j], r + j * 16 * kGramRowBytes + at);
    math.add(a, b);
  }
}

template <class Shape, class Math, class E>
__device__ __forceinline__ void mma_tile(const GramTask<E>& task, const GramTile& tile,
                                         unsigned char* shared) {
  Math math;
  for_each_slab<Shape::kTile, Shape::kThreads, Shape::kStages>(
      task, tile, shared, [&](const unsigned char* x, const unsigned char* r) {
        add_mma_slab<Shape>(x, r, math);
        math.end_slab();
      });
  const MmaPlace<Shape> place;
  constexpr int kRow = kStagedRow<Shape::kTile>;
  const int lane = int(threadIdx.x) % 32;
  float* const staged = reinterpret_cast<float*>(shared) + (place.row + lane / 4) * kRow +
                        place.column + lane % 4 * 2;
#pragma unroll
  for (int i = 0; i < Shape::kDown; ++i)
#pragma unroll
    for (int j = 0; j < Shape::kAcross; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e)
        staged[(i * 16 + e / 2 * 8) * kRow + j * 8 + e % 2] = math.result(i, j, e);
}

// grid.x: tiles of a set. grid.z: sets, in turns.
template <class Shape, class Math, class E, class Output>
__global__ void __launch_bounds__(Shape::kThreads, Shape::kBlocks)
    gram_mma(const GramTask<E> task, const Output output) {
  DRSL_DYNAMIC_SHARED(unsigned char, shared);
  GramTile tile = find_gram_tile<Shape::kTile>(task, blockIdx.x);
  for (tile.set = blockIdx.z; tile.set < task.sets; tile.set += gridDim.z) {
    mma_tile<Shape, Math>(task, tile, shared);
    __syncthreads();
    output.template write<Shape::kTile, Shape::kThreads>(task, tile,
                                                         reinterpret_cast<float*>(shared));
    __syncthreads();
  }
}

}  // namespace drsl::cuda
