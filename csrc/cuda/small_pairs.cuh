#pragma once
// Small batches, first launch: everything about pairs, straight from the rows.
//
//   square[p, s, q, k] = Σ_{j in slice p} (x_qj − x_kj)²        dot[p, s, q, k] = Σ x_qj x_kj
//
// A batch of 64 has too few tiles of pairs to fill a GPU, so the dimensions are cut into slices as
// well; the next launch adds the slices of a pair in order. Differences cost three operations a
// dimension instead of one, a fraction of a microsecond here, and nothing cancels. Tiles right of the
// diagonal are written twice: both halves have the same bits.
//
// The norms of the rows depend on nothing else: the last blocks of the same launch measure them.
#include <cstdint>

#include "cuda/element.cuh"
#include "cuda/measure.cuh"
#include "cuda/row.cuh"
#include "cuda/stages.h"
#include "cuda/warp.cuh"

namespace drsl::cuda {

constexpr int kSmallThreads = 256;
constexpr int kSmallStep = 16;             // rows between the pairs of a thread
constexpr int kSmallRow = kSmallSlab + 4;  // numbers: quads of 8 rows meet all banks once

template <class E>
struct SmallPairs {
  using T = Accumulator<E>;
  Side<E> x;
  int sets, tiles;  // tiles of a side
  int slices;
  int64_t slice;    // dimensions of a slice, a multiple of kSmallSlab
  T *square, *dot;  // [slices, sets, B, ld]
  unsigned* zeros;  // counters of the launches to come
  T* angular;       // [sets, B, ld] null, or to be 0 wherever the next launch writes nothing
  int64_t ld;
  bool aligned;  // rows begin at multiples of 16 bytes
};

// Upper tile t of a side of `tiles`, column after column.
struct SmallTilePlace {
  int row, column;
};
__device__ __forceinline__ SmallTilePlace small_tile(int t) {
  int column = 0;
  while ((column + 1) * (column + 2) / 2 <= t) ++column;
  return {(t - column * (column + 1) / 2) * kSmallTile, column * kSmallTile};
}

// Dimensions [k, k + kSmallSlab) of 32 rows, widened; zero beyond the last row and dimension `end`.
template <class E, class T = Accumulator<E>>
__device__ __forceinline__ void load_small(const Side<E>& x, const E* rows, int first, int64_t k,
                                           int64_t end, T (*to)[kSmallRow]) {
#pragma unroll
  for (int p = int(threadIdx.x); p < kSmallTile * kSmallSlab; p += kSmallThreads) {
    const int row = p / kSmallSlab, at = p % kSmallSlab;
    const bool in = first + row < x.count && k + at < end;
    to[row][at] = in ? T(widen(rows[(first + row) * x.dim + k + at])) : T(0);
  }
}

template <class T>
__device__ __forceinline__ void store_small(int B, int64_t ld, SmallTilePlace tile,
                                            const T (&value)[2][2], T* matrix,
                                            T (*staged)[kSmallRow]) {
  const int i = int(threadIdx.x) / kSmallStep, j = int(threadIdx.x) % kSmallStep;
  __syncthreads();
#pragma unroll
  for (int a = 0; a < 2; ++a)
#pragma unroll
    for (int b = 0; b < 2; ++b) staged[i + a * kSmallStep][j + b * kSmallStep] = value[a][b];
  __syncthreads();
  for (int p = int(threadIdx.x); p < kSmallTile * kSmallTile; p += kSmallThreads) {
    const int u = p / kSmallTile, v = p % kSmallTile;  // v runs along a row of the matrix
    if (tile.row + u < B)  // to the end of the tile: quads are read that end behind column B
      matrix[(tile.row + u) * ld + tile.column + v] = staged[u][v];
    if (tile.row != tile.column && tile.column + u < B && tile.row + v < B)
      matrix[(tile.column + u) * ld + tile.row + v] = staged[v][u];
  }
}

template <class E>
__device__ __forceinline__ void small_pair_tile(const SmallPairs<E>& task, int t, int slice,
                                                int set) {
  using T = Accumulator<E>;
  alignas(16) __shared__ T x[kSmallTile][kSmallRow];
  alignas(16) __shared__ T r[kSmallTile][kSmallRow];
  const int B = int(task.x.count);
  const SmallTilePlace tile = small_tile(t);
  const E* const rows = task.x.rows + int64_t(set) * B * task.x.dim;
  const int64_t begin = slice * task.slice;
  const int64_t end = begin + task.slice < task.x.dim ? begin + task.slice : task.x.dim;
  const int i = int(threadIdx.x) / kSmallStep, j = int(threadIdx.x) % kSmallStep;
  T square[2][2] = {}, dot[2][2] = {};
  for (int64_t k = begin; k < end; k += kSmallSlab) {
    __syncthreads();
    load_small(task.x, rows, tile.row, k, end, x);
    load_small(task.x, rows, tile.column, k, end, r);
    __syncthreads();
#pragma unroll 4
    for (int at = 0; at < kSmallSlab; at += 4) {
      Quad<T> mine[2], theirs[2];
#pragma unroll
      for (int a = 0; a < 2; ++a) {
        mine[a] = *reinterpret_cast<const Quad<T>*>(&x[i + a * kSmallStep][at]);
        theirs[a] = *reinterpret_cast<const Quad<T>*>(&r[j + a * kSmallStep][at]);
      }
#pragma unroll
      for (int p = 0; p < 4; ++p)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const T own = mine[p / 2].at[e], other = theirs[p % 2].at[e], difference = own - other;
          square[p / 2][p % 2] += difference * difference;
          dot[p / 2][p % 2] += own * other;
        }
    }
  }
  const int64_t matrix = B * task.ld, at = (int64_t(slice) * task.sets + set) * matrix;
  store_small(B, task.ld, tile, square, task.square + at, x);
  store_small(B, task.ld, tile, dot, task.dot + at, x);
  if (slice > 0 || !task.angular) return;
  const T none[2][2] = {};
  store_small(B, task.ld, tile, none, task.angular + set * matrix, x);
}

// Grid: (upper tiles · slices + blocks that measure, sets).
template <class E>
__global__ void __launch_bounds__(kSmallThreads, 3) slice_pairs(const SmallPairs<E> task) {
  const int tiles = task.tiles * (task.tiles + 1) / 2, block = int(blockIdx.x);
  const int set = int(blockIdx.y);
  if (block == 0 && set == 0 && threadIdx.x < kSmallZeros) task.zeros[threadIdx.x] = 0;
  if (block < tiles * task.slices) {
    small_pair_tile(task, block % tiles, block / tiles, set);
    return;
  }
  constexpr int kWarps = kSmallThreads / 32;
  const int64_t row = int64_t(block - tiles * task.slices) * kWarps + warp_index();
  if (row < task.x.count)
    measure_row(task.x.rows, set * task.x.count + row, task.x.dim, task.aligned, task.x.norms);
}

}  // namespace drsl::cuda
