// The gallery is the batch: S = A + Aᵀ in place, then one product.
#include <algorithm>

#include "cpu/parallel.h"
#include "cpu/redistribute_parts.h"
#include "cpu/transpose.h"

namespace drsl {
namespace {

// A → S = A + Aᵀ in place, a pair of tiles at a time: what lies right of the diagonal, and what
// faces it below. A tile is 64 × 64: one word of flags a row.
template <class T>
struct SymmetricTask {
  const Coefficients<T>& c;
  const Rows<T>& x;
  const double* diagonal;
  T* part;  // [tiles, padded rows] sums of S over 64 columns
  T* grad;
  bool all_in_product;  // nothing to add to S X but a diagonal: grad need not be prepared

  int64_t tiles() const { return (x.count + kWord - 1) / kWord; }
  T* part_of(int64_t tile) const { return part + tile * tiles() * kWord; }
};

// One square of side kSide above the diagonal and the one that faces it. S is symmetric, so its
// column sums are the row sums of the other square: adding up rows, never across lanes, gives both.
template <class T>
DRSL_INLINE void add_facing(T* upper, T* lower, int64_t ld, T* sum_of_columns, T* sum_of_rows) {
  constexpr int side = Tile<T>::kSide;
  using Line = typename Tile<T>::Row;
  Line s[side], columns, rows;
  for (int k = 0; k < side; ++k) std::memcpy(&s[k], lower + k * ld, sizeof s[k]);
  Tile<T>::transpose(s);
  std::memcpy(&columns, sum_of_columns, sizeof columns);
  for (int k = 0; k < side; ++k) {
    Line a;
    std::memcpy(&a, upper + k * ld, sizeof a);
    s[k] += a;
    columns += s[k];
    std::memcpy(upper + k * ld, &s[k], sizeof s[k]);
  }
  std::memcpy(sum_of_columns, &columns, sizeof columns);
  if (upper == lower) return;
  Tile<T>::transpose(s);
  std::memcpy(&rows, sum_of_rows, sizeof rows);
  for (int k = 0; k < side; ++k) {
    rows += s[k];
    std::memcpy(lower + k * ld, &s[k], sizeof s[k]);
  }
  std::memcpy(sum_of_rows, &rows, sizeof rows);
}

// A pair is near if either side says so: bits of the tile at (row, word) also stand in the tile
// that faces it.
inline void face_flags(uint64_t* near, int64_t words, int64_t rows, int64_t tile_row,
                       int64_t tile_column) {
  const int64_t first = tile_row * kWord, last = std::min(first + kWord, rows);
  for (int64_t i = first; i < last; ++i)
    for (uint64_t bits = near[i * words + tile_column]; bits; bits &= bits - 1)
      near[(tile_column * kWord + __builtin_ctzll(bits)) * words + tile_row] |= uint64_t(1)
                                                                                << (i - first);
}

template <class T>
DRSL_INLINE void symmetric_pair(const SymmetricTask<T>& t, int64_t row, int64_t column) {
  constexpr int64_t side = Tile<T>::kSide;
  const int64_t ld = t.c.leading, words = ld / kWord;
  T* const a = t.c.a;
  T columns[kWord] = {}, rows[kWord] = {};
  for (int64_t i = 0; i < kWord; i += side)
    for (int64_t j = row == column ? i : 0; j < kWord; j += side) {
      T* upper = a + (row * kWord + i) * ld + column * kWord + j;
      T* lower = a + (column * kWord + j) * ld + row * kWord + i;
      add_facing(upper, lower, ld, columns + j, row == column ? columns + i : rows + i);
    }
  for (int64_t k = 0; k < kWord; ++k) {
    t.part_of(row)[column * kWord + k] = columns[k];
    if (row != column) t.part_of(column)[row * kWord + k] = rows[k];
  }
  face_flags(t.c.near, words, t.x.count, row, column);
  if (row != column) face_flags(t.c.near, words, t.x.count, column, row);
}

// Pairs [begin, end) of tiles, counted along the rows of the upper triangle.
template <class T>
DRSL_INLINE void symmetric_pairs(const SymmetricTask<T>& t, int64_t begin, int64_t end) {
  int64_t row = 0, first = 0;
  for (; begin >= first + t.tiles() - row; ++row) first += t.tiles() - row;
  for (int64_t column = row + begin - first; begin < end; ++begin) {
    symmetric_pair(t, row, column);
    if (++column == t.tiles()) column = ++row;
  }
}

// Rows [begin, end) of S: near pairs leave it, −ΣS goes to the diagonal, and the gradient starts
// with all that is no product.
template <class T>
DRSL_INLINE void symmetric_rows(const SymmetricTask<T>& t, int64_t begin, int64_t end) {
  const int64_t n = t.x.count, ld = t.c.leading, words = ld / kWord, dim = t.x.dim;
  for (int64_t i = begin; i < end; ++i) {
    T* s = t.c.a + i * ld;
    T* grad = t.grad + i * dim;
    double sum = 0;
    for (int64_t tile = 0; tile < t.tiles(); ++tile) sum += double(t.part_of(tile)[i]);
    sum -= double(s[i]);
    s[i] = 0;
    if (t.all_in_product) {
      s[i] = T(t.diagonal[i] - sum);
      continue;
    }
    for (int64_t k = 0; k < dim; ++k) grad[k] = 0;
    if (t.diagonal[i] != 0) add_scaled(grad, T(t.diagonal[i]), t.x.exact_row(i), dim);
    uint64_t any = 0;
    for (int64_t w = 0; w < words; ++w)
      for (uint64_t bits = t.c.near[i * words + w]; bits; bits &= bits - 1) {
        const int64_t j = w * kWord + __builtin_ctzll(bits);
        add_near(grad, s[j], t.x, j, t.x, i, t.c.normalize);
        s[j] = 0;
        any = 1;
      }
    // a large entry that has left would still be in the rounding of the sum
    s[i] = -T(any ? row_sum(s, n) : sum);
  }
}

DRSL_CLONES void pairs_of(const SymmetricTask<float>& t, int64_t begin, int64_t end) {
  symmetric_pairs(t, begin, end);
}
DRSL_CLONES void pairs_of(const SymmetricTask<double>& t, int64_t begin, int64_t end) {
  symmetric_pairs(t, begin, end);
}
DRSL_CLONES void rows_of(const SymmetricTask<float>& t, int64_t begin, int64_t end) {
  symmetric_rows(t, begin, end);
}
DRSL_CLONES void rows_of(const SymmetricTask<double>& t, int64_t begin, int64_t end) {
  symmetric_rows(t, begin, end);
}

}  // namespace

template <class T>
void redistribute_triangle(const Coefficients<T>& c, const Rows<T>& x, const double* diagonal,
                           T* grad) {
  const int64_t n = x.count, tiles = (n + kWord - 1) / kWord,
                tasks = task_count(n * n, kCoefficientGrain);
  const Buffer<T> part(tiles * tiles * kWord);
  SymmetricTask<T> task{c, x, diagonal, part.get(), grad, x.operand == x.exact};
  for (int64_t k = 0; task.all_in_product && k < n * (c.leading / kWord); ++k)
    task.all_in_product = c.near[k] == 0;
  for_tasks(tasks, tiles * (tiles + 1) / 2, 1,
            [&](int64_t, int64_t begin, int64_t end) { pairs_of(task, begin, end); });
  for_tasks(tasks, n, 1, [&](int64_t, int64_t begin, int64_t end) { rows_of(task, begin, end); });
  product(rows_as_matrix<T>(c.a, c.leading), rows_as_matrix(x.operand, x.dim), n, x.dim, n, grad,
          x.dim, task.all_in_product ? Into::kOverwrite : Into::kAdd);
}

template void redistribute_triangle(const Coefficients<float>&, const Rows<float>&, const double*,
                                    float*);
template void redistribute_triangle(const Coefficients<double>&, const Rows<double>&, const double*,
                                    double*);

}  // namespace drsl
