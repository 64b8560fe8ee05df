#pragma once
// A tile of x·r in shared memory → distances and cosines:
//
//   d = √(|x|² + |r|² − 2 x·r)        cos = x·r / (|x| |r|)
//
// Near pairs (stages.h) are flagged for pairwise_mend.cuh.
#include <cstdint>

#include "cuda/gram_output.cuh"
#include "cuda/near.cuh"

namespace drsl::cuda {

template <class E>
struct PairOutput {
  using T = Accumulator<E>;
  Norms<T> x, r;  // of one set after the other
  T *distance, *cosine;
  uint16_t*
      near;  // [sets, ⌈B/4⌉, ⌈G/4⌉] bit 4 i + j: pair (i, j) of 4 × 4; symmetric: above the diagonal
  bool self;   // column q is query q
  bool quads;  // rows of the results begin at multiples of four numbers

  template <int kTile, int kThreads>
  __device__ __forceinline__ void write(const GramTask<E>& task, const GramTile& tile,
                                        const T* staged) const {
    convert<kTile, kThreads, false>(task, tile, staged);
    if (task.symmetric && tile.row != tile.column)
      convert<kTile, kThreads, true>(task, tile, staged);
  }

 private:
  struct Row {
    T norm2, inverse;
  };
  static __device__ __forceinline__ Row load(const Norms<T>& norms, int64_t i, bool exists) {
    return exists ? Row{norms.norm2[i], norms.inverse[i]} : Row{T(1), T(0)};
  }

  // Gram entry → distance and cosine. Returns whether the pair is near.
  __device__ __forceinline__ bool convert_entry(const Row& row, const Row& column, bool own, T& d,
                                                T& y) const {
    const T both = row.norm2 + column.norm2, d2 = both - 2 * d;
    y = clamp_cosine(d * (row.inverse * column.inverse));
    const bool bad = !(row.inverse == row.inverse && column.inverse == column.inverse);
    const bool near = !(d2 > kNear<T> * both) && !bad && !own;
    d = fast_sqrt(d2);
    if (own && !bad) d = 0, y = T(row.inverse != T(0));
    return near;
  }

  template <int kTile, int kThreads, bool kMirrored>
  __device__ __forceinline__ void convert(const GramTask<E>& task, const GramTile& tile,
                                          const T* staged) const {
    const int64_t rows = kMirrored ? task.columns : task.rows,
                  columns = kMirrored ? task.rows : task.columns;
    const int64_t first_row = kMirrored ? tile.column : tile.row,
                  first_column = kMirrored ? tile.row : tile.column;
    const Norms<T>&row_norms = kMirrored ? r : x, &column_norms = kMirrored ? x : r;
    const int j = quad_column<kTile>();
    const int64_t column = first_column + j;
    Row others[4];
#pragma unroll
    for (int n = 0; n < 4; ++n)
      others[n] = load(column_norms, tile.set * columns + column + n, column + n < columns);
    for_each_quad<kTile, kThreads, kMirrored>(staged, [&](int i, T(&d)[4]) {
      const int64_t row = first_row + i;
      const Row own = load(row_norms, tile.set * rows + row, row < rows);
      T y[4];
      unsigned bits = 0;
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        const bool is_near = convert_entry(own, others[n], self && row == column + n, d[n], y[n]);
        bits |= unsigned(is_near && column + n < columns && row < rows) << n;
      }
      if (row < rows) {
        const int64_t at = (tile.set * rows + row) * columns;
        store_quad(distance + at, column, columns, quads, d);
        store_quad(cosine + at, column, columns, quads, y);
      }
      if constexpr (kMirrored) return;
      bits <<= lane_index() / 8 * 4;  // lanes l, l + 8, … have the four rows
      bits |= __shfl_xor_sync(kAllLanes, bits, 8);
      bits |= __shfl_xor_sync(kAllLanes, bits, 16);
      if (lane_index() < 8 && row < rows && column < columns)
        near[(tile.set * ((rows + 3) / 4) + row / 4) * ((columns + 3) / 4) + column / 4] =
            uint16_t(bits);
    });
  }
};

}  // namespace drsl::cuda
