#pragma once
// A tile of x·r in shared memory → its place in the matrix, and its mirror image's.
#include <cstdint>

#include "cuda/gram_task.cuh"
#include "cuda/warp.cuh"

namespace drsl::cuda {

// A thread has four columns of the tile, or of its transpose, from this one on, and some of the rows. A
// warp has 4 rows × 32 columns, that is 128 bytes of each row: whole lines go to memory, and the odd
// rows of the tile meet all banks of shared memory once, either way.
template <int kTile>
__device__ __forceinline__ int quad_column() {
  return warp_index() % (kTile / 32) * 32 + lane_index() % 8 * 4;
}

// f(row, numbers) for the thread's columns of each of its rows; the whole warp at once.
template <int kTile, int kThreads, bool kMirrored, class T, class F>
__device__ __forceinline__ void for_each_quad(const T* staged, F f) {
  constexpr int kAcross = kTile / 32, kRow = kStagedRow<kTile>;
  constexpr int kDown = 4 * (kThreads / 32) / kAcross;
  static_assert(kThreads / 32 % kAcross == 0 && kTile % kDown == 0);
  const int column = quad_column<kTile>();
#pragma unroll 1
  for (int row = warp_index() / kAcross * 4 + lane_index() / 8; row < kTile; row += kDown) {
    T numbers[4];
#pragma unroll
    for (int i = 0; i < 4; ++i)
      numbers[i] = kMirrored ? staged[(column + i) * kRow + row] : staged[row * kRow + column + i];
    f(row, numbers);
  }
}

// Numbers [column, column + 4) of a row that ends at `columns`. quads: rows begin at multiples of four
// numbers, so that what lies behind the last one, up to three numbers, is nobody else's.
template <class T>
__device__ __forceinline__ void store_quad(T* row, int64_t column, int64_t columns, bool quads,
                                           const T (&numbers)[4]) {
  if (quads) {
    if (column >= columns) return;
#pragma unroll
    for (int i = 0; i < 4; i += Pack<T>::kCount) {
      Pack<T> pack;
#pragma unroll
      for (int n = 0; n < Pack<T>::kCount; ++n) pack.at[n] = numbers[i + n];
      *reinterpret_cast<Pack<T>*>(row + column + i) = pack;
    }
    return;
  }
#pragma unroll
  for (int i = 0; i < 4; ++i)
    if (column + i < columns) row[column + i] = numbers[i];
}

// x·r as it is, but NaN for bad rows: their products may be infinite.
template <class T>
struct GramOutput {
  const T *x_norm, *r_norm;
  int64_t x_stride, r_stride;  // norms from set to set
  T* out;
  int64_t ld, out_stride;
  bool quads;

  template <int kTile, int kThreads, class E>
  __device__ __forceinline__ void write(const GramTask<E>& task, const GramTile& tile,
                                        T* staged) const {
    const T* const xs = x_norm + tile.set * x_stride;
    const T* const rs = r_norm + tile.set * r_stride;
    half<kTile, kThreads, false>(staged, tile, tile.row, task.rows, xs, tile.column, task.columns,
                                 rs);
    if (task.symmetric && tile.row != tile.column)
      half<kTile, kThreads, true>(staged, tile, tile.column, task.columns, rs, tile.row, task.rows,
                                  xs);
  }

 private:
  template <int kTile, int kThreads, bool kMirrored>
  __device__ __forceinline__ void half(const T* staged, const GramTile& tile, int64_t first_row,
                                       int64_t rows, const T* row_norm, int64_t first_column,
                                       int64_t columns, const T* column_norm) const {
    T* const matrix = out + tile.set * out_stride;
    const int64_t column = first_column + quad_column<kTile>();
    T poison[4];
#pragma unroll
    for (int n = 0; n < 4; ++n)
      poison[n] = column + n < columns ? T(0) * column_norm[column + n] : T(0);
    for_each_quad<kTile, kThreads, kMirrored>(staged, [&](int i, T(&numbers)[4]) {
      const int64_t row = first_row + i;
      if (row >= rows) return;
      const T own = T(0) * row_norm[row];
#pragma unroll
      for (int n = 0; n < 4; ++n) numbers[n] += poison[n] + own;
      store_quad(matrix + row * ld, column, columns, quads, numbers);
    });
  }
};

}  // namespace drsl::cuda
