#pragma once
// What all kernels of x·r share: tiles of kTile × kTile pairs, and how slabs of 128 bytes of each row
// come to shared memory. A block's tile ends up in shared memory, from where an Output takes it
// (gram_output.cuh, pairwise.cuh), so kernels know nothing of what becomes of it.
#include <cstdint>

#include "cuda/stages.h"
#include "cuda/tile_ops.cuh"

namespace drsl::cuda {

constexpr int kGramSlabBytes = 128;
// 36 words: packs of 16 bytes of eight rows that follow each other meet all banks once.
constexpr int kGramRowBytes = kGramSlabBytes + 16;

template <class E>
struct GramTask {
  const E *x, *r;              // x from its first row on that is wanted
  int64_t x_stride, r_stride;  // numbers from set to set
  int64_t sets, rows, columns, dim;
  int unit;        // bytes that can be copied at once: 16 if rows begin at multiples of 16, or less
  bool symmetric;  // tiles on and above the diagonal only
};

struct GramTile {
  int64_t set, row, column;  // of its first pair
};

template <int kTile>
__host__ __device__ __forceinline__ int64_t gram_tiles(int64_t rows, int64_t columns,
                                                       bool symmetric) {
  const int64_t down = (rows + kTile - 1) / kTile, across = (columns + kTile - 1) / kTile;
  return symmetric ? down * (down + 1) / 2 : down * across;
}

// Column after column: tiles that run at the same time share rows of r. Of a symmetric matrix from row
// 0 to the diagonal.
template <int kTile, class E>
__device__ __forceinline__ GramTile find_gram_tile(const GramTask<E>& task, int64_t t) {
  if (!task.symmetric) {
    const int64_t down = (task.rows + kTile - 1) / kTile, j = t / down;
    return {0, (t - j * down) * kTile, j * kTile};
  }
  // t = j (j + 1)/2 + i with i ≤ j: the root is nearly j.
  int64_t j = int64_t((sqrtf(8 * float(t) + 1) - 1) / 2);
  while (j * (j + 1) / 2 > t) --j;
  while ((j + 1) * (j + 2) / 2 <= t) ++j;
  return {0, (t - j * (j + 1) / 2) * kTile, j * kTile};
}

template <class E>
constexpr int kGramSlab = kGramSlabBytes / int(sizeof(E));

// One operand's part of a slab: rows [first, first + kRows), numbers [k, k + kGramSlab); zero beyond
// the last row and column. kUnit bytes at a time, which cp.async can: 4, 8 or 16.
template <int kUnit, int kRows, int kThreads, class E>
__device__ __forceinline__ void copy_slab_in_units(const E* rows, int64_t first, int64_t count,
                                                   int64_t k, int64_t dim, unsigned char* to) {
  constexpr int kPerRow = kGramSlabBytes / kUnit, kStep = kThreads / kPerRow;
  static_assert(kThreads % kPerRow == 0 && kRows % kStep == 0);
  const int row = int(threadIdx.x) / kPerRow, at = int(threadIdx.x) % kPerRow * kUnit;
  const bool inside = k + at / int(sizeof(E)) < dim;
  const E* from = rows + (first + row) * dim + k + at / int(sizeof(E));
  to += row * kGramRowBytes + at;
#pragma unroll(kUnit == 16 ? kRows / kStep : 1)
  for (int i = 0; i < kRows; i += kStep) {
    const bool valid = inside && first + row + i < count;
    cp_async<kUnit>(to + i * kGramRowBytes, valid ? from + i * dim : rows, valid);
  }
}

// Number by number, for 16-bit rows at odd places.
template <int kRows, int kThreads, class E>
__device__ __forceinline__ void copy_slab_by_number(const E* rows, int64_t first, int64_t count,
                                                    int64_t k, int64_t dim, unsigned char* to) {
  constexpr int kPacks = kGramSlabBytes / 16;
#pragma unroll 1
  for (int p = int(threadIdx.x); p < kRows * kPacks; p += kThreads) {
    const int row = p / kPacks, pack = p % kPacks;
    Pack<E> numbers{};
    if (first + row < count)
      numbers = load_pack(rows + (first + row) * dim, k + pack * Pack<E>::kCount, dim, false);
    *reinterpret_cast<Pack<E>*>(to + row * kGramRowBytes + pack * 16) = numbers;
  }
}

template <int kRows, int kThreads, class E>
__device__ __forceinline__ void copy_slab(const E* rows, int64_t first, int64_t count, int64_t k,
                                          int64_t dim, int unit, unsigned char* to) {
  if (unit == 16)
    copy_slab_in_units<16, kRows, kThreads>(rows, first, count, k, dim, to);
  else if (sizeof(E) == 8)
    copy_slab_in_units<8, kRows, kThreads>(rows, first, count, k, dim, to);
  else if (sizeof(E) == 4 || unit == 4)
    copy_slab_in_units<4, kRows, kThreads>(rows, first, count, k, dim, to);
  else
    copy_slab_by_number<kRows, kThreads>(rows, first, count, k, dim, to);
}

// multiply(x slab, r slab) for each slab of the tile's rows, kStages of them in flight. All of shared
// memory is free again when it is done.
template <int kTile, int kThreads, int kStages, class E, class F>
__device__ __forceinline__ void for_each_slab(const GramTask<E>& task, const GramTile& tile,
                                              unsigned char* shared, F multiply) {
  constexpr int kOperand = kTile * kGramRowBytes, kStage = 2 * kOperand;
  const E* const x = task.x + tile.set * task.x_stride;
  const E* const r = task.r + tile.set * task.r_stride;
  const int slabs = int((task.dim + kGramSlab<E> - 1) / kGramSlab<E>);
  int loading = 0, multiplying = 0;  // buffers
#pragma unroll 1
  for (int s = 1 - kStages; s < slabs; ++s) {
    if (s >= 0) {
      cp_async_wait<kStages - 2>();
      __syncthreads();  // slab s is there for all, and nobody reads slab s − 1 any more
    }
    const int next = s + kStages - 1;
    if (next < slabs) {
      unsigned char* const to = shared + loading * kStage;
      const int64_t k = int64_t(next) * kGramSlab<E>;
      copy_slab<kTile, kThreads>(x, tile.row, task.rows, k, task.dim, task.unit, to);
      copy_slab<kTile, kThreads>(r, tile.column, task.columns, k, task.dim, task.unit,
                                 to + kOperand);
    }
    cp_async_commit();
    loading = loading + 1 == kStages ? 0 : loading + 1;
    if (s < 0) continue;
    const unsigned char* const slab = shared + multiplying * kStage;
    multiply(slab, slab + kOperand);
    multiplying = multiplying + 1 == kStages ? 0 : multiplying + 1;
  }
  cp_async_wait<0>();
  __syncthreads();
}

// A tile in shared memory: an odd number to a row, so that columns meet no bank twice.
template <int kTile>
constexpr int kStagedRow = kTile + 1;

template <int kTile, int kStages, class T>
constexpr int gram_shared_bytes() {
  constexpr int slabs = kStages * 2 * kTile * kGramRowBytes;
  constexpr int staged = kTile * kStagedRow<kTile> * int(sizeof(T));
  return slabs > staged ? slabs : staged;
}

}  // namespace drsl::cuda
