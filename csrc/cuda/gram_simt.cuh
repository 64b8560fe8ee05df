#pragma once
// x·r of float or double without tensor cores: a thread has 4 × 8 pairs of a tile and walks along k
// with packs of both sides' rows. Every pair's numbers are added in the order of k, so all shapes
// of tiles give the same bits. In float a slab is summed by itself and then added to the total:
// rounding errors of √32 + √(D/32) additions instead of √D.
#include <cstdint>

#include "cuda/gram_task.cuh"

namespace drsl::cuda {

constexpr int kSimtDown = 4, kSimtAcross = 8;  // pairs of a thread

// Tile, and slabs in flight: large tiles read less, small ones fill a GPU sooner.
template <int kTile_, int kStages_, int kBlocks_>
struct SimtShape {
  static constexpr int kTile = kTile_, kStages = kStages_, kBlocks = kBlocks_;
  static constexpr int kThreads = kTile * kTile / (kSimtDown * kSimtAcross);
};
using SimtLarge = SimtShape<128, 3, 1>;  // 128 registers a thread
using SimtSmall = SimtShape<64, 2, 4>;
using SimtDouble = SimtShape<64, 2, 3>;

template <class T>
struct SimtSums {
  T at[kSimtDown][kSimtAcross] = {};
};

// Where a thread's pairs begin: pairs (row + kRows a, column + kColumns b). A warp has 4 × 8 of them.
template <int kTile>
struct SimtPlace {
  static constexpr int kRows = kTile / kSimtDown, kColumns = kTile / kSimtAcross;
  int row, column;
  __device__ __forceinline__ SimtPlace() {
    const int lane = int(threadIdx.x) % 32, warp = int(threadIdx.x) / 32;
    row = warp / (kColumns / 8) * 4 + lane / 8;
    column = warp % (kColumns / 8) * 8 + lane % 8;
  }
};

template <int kTile, class T>
__device__ __forceinline__ void add_simt_slab(const unsigned char* x, const unsigned char* r,
                                              SimtSums<T>& sums) {
  using Place = SimtPlace<kTile>;
  const Place place;
  x += place.row * kGramRowBytes;
  r += place.column * kGramRowBytes;
#pragma unroll 1
  for (int at = 0; at < kGramSlabBytes; at += sizeof(Pack<T>)) {
    Pack<T> own[kSimtDown];
#pragma unroll
    for (int a = 0; a < kSimtDown; ++a)
      own[a] = *reinterpret_cast<const Pack<T>*>(x + a * Place::kRows * kGramRowBytes + at);
#pragma unroll
    for (int b = 0; b < kSimtAcross; ++b) {
      const Pack<T> other =
          *reinterpret_cast<const Pack<T>*>(r + b * Place::kColumns * kGramRowBytes + at);
#pragma unroll
      for (int k = 0; k < Pack<T>::kCount; ++k)
#pragma unroll
        for (int a = 0; a < kSimtDown; ++a) sums.at[a][b] += own[a].at[k] * other.at[k];
    }
  }
}

template <class Shape, class T>
__device__ __forceinline__ void simt_tile(const GramTask<T>& task, const GramTile& tile,
                                          unsigned char* shared) {
  constexpr int kTile = Shape::kTile;
  SimtSums<T> total;
  for_each_slab<kTile, Shape::kThreads, Shape::kStages>(
      task, tile, shared, [&](const unsigned char* x, const unsigned char* r) {
        if constexpr (sizeof(T) == 8) {
          add_simt_slab<kTile>(x, r, total);
        } else {
          SimtSums<T> part;
          add_simt_slab<kTile>(x, r, part);
#pragma unroll
          for (int a = 0; a < kSimtDown; ++a)
#pragma unroll
            for (int b = 0; b < kSimtAcross; ++b) total.at[a][b] += part.at[a][b];
        }
      });
  using Place = SimtPlace<kTile>;
  const Place place;
  T* const staged = reinterpret_cast<T*>(shared) + place.row * kStagedRow<kTile> + place.column;
#pragma unroll
  for (int a = 0; a < kSimtDown; ++a)
#pragma unroll
    for (int b = 0; b < kSimtAcross; ++b)
      staged[a * Place::kRows * kStagedRow<kTile> + b * Place::kColumns] = total.at[a][b];
}

// grid.x: tiles of a set. grid.z: sets, in turns.
template <class Shape, class T, class Output>
__global__ void __launch_bounds__(Shape::kThreads, Shape::kBlocks)
    gram_simt(const GramTask<T> task, const Output output) {
  DRSL_DYNAMIC_SHARED(unsigned char, shared);
  GramTile tile = find_gram_tile<Shape::kTile>(task, blockIdx.x);
  for (tile.set = blockIdx.z; tile.set < task.sets; tile.set += gridDim.z) {
    simt_tile<Shape>(task, tile, shared);
    __syncthreads();
    output.template write<Shape::kTile, Shape::kThreads>(task, tile, reinterpret_cast<T*>(shared));
    __syncthreads();
  }
}

}  // namespace drsl::cuda
