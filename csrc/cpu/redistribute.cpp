#include "cpu/redistribute.h"

#include <vector>

#include "cpu/parallel.h"
#include "cpu/product.h"
#include "cpu/transpose.h"
#include "cpu/vector.h"

namespace drsl {
namespace {

constexpr int64_t kWord = 64;         // columns, or rows of a tile, that share a word of flags
constexpr int64_t kGrain = 1 << 14;   // coefficients a task should handle at least

// grad += A_qk (r_k − x_q) of a near pair, from the rows as given (of unit length if normalising).
template <class T>
DRSL_INLINE void add_near(T* grad, T a, const Rows<T>& r, int64_t k, const Rows<T>& x, int64_t q, bool normalize) {
  if (a == T(0)) return;
  const double ir = normalize ? r.inv_norm[size_t(k)] : 1.0, ix = normalize ? x.inv_norm[size_t(q)] : 1.0;
  add_difference(grad, double(a), ir, r.exact_row(k), ix, x.exact_row(q), x.dim);
}

template <class T>
DRSL_INLINE double row_sum(const T* a, int64_t n) {
  return sum_terms(
      n, [=](int64_t k) DRSL_LAMBDA { return Wide::load(a + k); },
      [=](int64_t k) DRSL_LAMBDA { return double(a[k]); });
}

// A → S = A + Aᵀ in place, a pair of tiles at a time: what lies right of the diagonal, and what faces it below.
// A tile is 64 × 64: one word of flags a row.
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

// One square of side kSide above the diagonal and the one that faces it. S is symmetric, so its column sums are the
// row sums of the other square: adding up rows, never across lanes, gives both.
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

// A pair is near if either side says so: bits of the tile at (row, word) also stand in the tile that faces it.
inline void face_flags(uint64_t* near, int64_t words, int64_t rows, int64_t tile_row, int64_t tile_column) {
  const int64_t first = tile_row * kWord, last = std::min(first + kWord, rows);
  for (int64_t i = first; i < last; ++i)
    for (uint64_t bits = near[i * words + tile_column]; bits; bits &= bits - 1)
      near[(tile_column * kWord + __builtin_ctzll(bits)) * words + tile_row] |= uint64_t(1) << (i - first);
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

// Rows [begin, end) of S: near pairs leave it, −ΣS goes to the diagonal, and the gradient starts with all that is no
// product.
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
    s[i] = -T(any ? row_sum(s, n) : sum);  // a large entry that has left would still be in the rounding of the sum
  }
}

DRSL_CLONES void pairs_of(const SymmetricTask<float>& t, int64_t begin, int64_t end) { symmetric_pairs(t, begin, end); }
DRSL_CLONES void pairs_of(const SymmetricTask<double>& t, int64_t begin, int64_t end) {
  symmetric_pairs(t, begin, end);
}
DRSL_CLONES void rows_of(const SymmetricTask<float>& t, int64_t begin, int64_t end) { symmetric_rows(t, begin, end); }
DRSL_CLONES void rows_of(const SymmetricTask<double>& t, int64_t begin, int64_t end) { symmetric_rows(t, begin, end); }

template <class T>
struct BlockTask {
  const Coefficients<T>& c;
  const Rows<T>& x;
  const Rows<T>& r;
  int64_t first, count;
  const double* e;
  T* grad_x;
  T* grad_r;
  double* column_sum;
};

// Gallery side of columns [begin, end): column sums of far pairs, near pairs one by one. Begins at a word.
template <class T>
DRSL_INLINE void gallery_columns(const BlockTask<T>& t, int64_t begin, int64_t end) {
  const int64_t ld = t.c.leading, words = ld / kWord, dim = t.x.dim;
  for (int64_t i = 0; i < t.count; ++i) {
    const T* a = t.c.a + i * ld;
    for (int64_t k0 = begin; k0 < end; k0 += kWord) {
      const int64_t k1 = k0 + kWord < end ? k0 + kWord : end;
      const uint64_t bits = t.c.near[i * words + k0 / kWord];
      if (bits == 0) {
#pragma omp simd
        for (int64_t k = k0; k < k1; ++k) t.column_sum[k] += double(a[k]);
        continue;
      }
      for (int64_t k = k0; k < k1; ++k) {
        if (bits >> (k - k0) & 1)
          add_near(t.grad_r + k * dim, a[k], t.x, t.first + i, t.r, k, t.c.normalize);
        else
          t.column_sum[k] += double(a[k]);
      }
    }
  }
}

// Query side of rows [begin, end) of the block: near pairs, then e_q x_q − ΣA x_q; near entries become 0.
template <class T>
DRSL_INLINE void query_rows(const BlockTask<T>& t, int64_t begin, int64_t end) {
  const int64_t ld = t.c.leading, words = ld / kWord, dim = t.x.dim;
  for (int64_t i = begin; i < end; ++i) {
    const int64_t q = t.first + i;
    T* a = t.c.a + i * ld;
    T* grad = t.grad_x ? t.grad_x + q * dim : nullptr;
    for (int64_t w = 0; w < words; ++w)
      for (uint64_t bits = t.c.near[i * words + w]; bits; bits &= bits - 1) {
        const int64_t k = w * kWord + __builtin_ctzll(bits);
        if (grad) add_near(grad, a[k], t.r, k, t.x, q, t.c.normalize);
        a[k] = 0;
      }
    if (!grad) continue;
    if (t.e[q] != 0) add_scaled(grad, T(t.e[q]), t.x.exact_row(q), dim);
    add_scaled(grad, -T(row_sum(a, t.r.count)), t.x.operand_row(q), dim);
  }
}

DRSL_CLONES void columns_of(const BlockTask<float>& t, int64_t begin, int64_t end) { gallery_columns(t, begin, end); }
DRSL_CLONES void columns_of(const BlockTask<double>& t, int64_t begin, int64_t end) { gallery_columns(t, begin, end); }
DRSL_CLONES void rows_of(const BlockTask<float>& t, int64_t begin, int64_t end) { query_rows(t, begin, end); }
DRSL_CLONES void rows_of(const BlockTask<double>& t, int64_t begin, int64_t end) { query_rows(t, begin, end); }

template <class T>
DRSL_INLINE void project_rows(const Rows<T>& x, T* grad, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    if (x.bad[size_t(i)]) continue;  // 0 or NaN already
    T* g = grad + i * x.dim;
    const T* row = x.exact_row(i);
    const double inv = x.inv_norm[size_t(i)], along = dot(g, row, x.dim) * inv * inv;
    for (int64_t k = 0; k < x.dim; ++k) g[k] = T((double(g[k]) - along * double(row[k])) * (inv / x.unit));
  }
}
DRSL_CLONES void project_some(const Rows<float>& x, float* grad, int64_t begin, int64_t end) {
  project_rows(x, grad, begin, end);
}
DRSL_CLONES void project_some(const Rows<double>& x, double* grad, int64_t begin, int64_t end) {
  project_rows(x, grad, begin, end);
}

template <class T>
Matrix<T> rows_as_matrix(const T* data, int64_t leading) {
  return {data, leading, 1};
}

}  // namespace

template <class T>
void redistribute_triangle(const Coefficients<T>& c, const Rows<T>& x, const double* diagonal, T* grad) {
  const int64_t n = x.count, tiles = (n + kWord - 1) / kWord, tasks = task_count(n * n, kGrain);
  const Buffer<T> part(tiles * tiles * kWord);
  SymmetricTask<T> task{c, x, diagonal, part.get(), grad, x.operand == x.exact};
  for (int64_t k = 0; task.all_in_product && k < n * (c.leading / kWord); ++k) task.all_in_product = c.near[k] == 0;
  for_tasks(tasks, tiles * (tiles + 1) / 2, 1,
            [&](int64_t, int64_t begin, int64_t end) { pairs_of(task, begin, end); });
  for_tasks(tasks, n, 1, [&](int64_t, int64_t begin, int64_t end) { rows_of(task, begin, end); });
  product(rows_as_matrix<T>(c.a, c.leading), rows_as_matrix(x.operand, x.dim), n, x.dim, n, grad, x.dim,
          task.all_in_product ? Into::kOverwrite : Into::kAdd);
}

template <class T>
void redistribute_block(const Coefficients<T>& c, const Rows<T>& x, int64_t first, int64_t count, const Rows<T>& r,
                        const double* e, T* grad_x, T* grad_r, double* column_sum) {
  const BlockTask<T> task{c, x, r, first, count, e, grad_x, grad_r, column_sum};
  const int64_t tasks = task_count(count * r.count, kGrain);
  if (grad_r)
    for_tasks(tasks, r.count, kWord, [&](int64_t, int64_t begin, int64_t end) { columns_of(task, begin, end); });
  for_tasks(tasks, count, 1, [&](int64_t, int64_t begin, int64_t end) { rows_of(task, begin, end); });
  const Matrix<T> a = rows_as_matrix<T>(c.a, c.leading);
  if (grad_x)
    product(a, rows_as_matrix(r.operand, r.dim), count, r.dim, r.count, grad_x + first * x.dim, x.dim, Into::kAdd);
  if (grad_r)
    product(a.transposed(), rows_as_matrix(x.operand_row(first), x.dim), r.count, x.dim, count, grad_r, r.dim,
            Into::kAdd);
}

template <class T>
void finish_gallery(const Rows<T>& r, const double* f, const double* column_sum, T* grad_r) {
  for_tasks(task_count(r.count * r.dim, kGrain), r.count, 1, [&](int64_t, int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      if (f[k] != 0) add_scaled(grad_r + k * r.dim, T(f[k]), r.exact_row(k), r.dim);
      add_scaled(grad_r + k * r.dim, T(-column_sum[k]), r.operand_row(k), r.dim);
    }
  });
}

template <class T>
void project(const Rows<T>& x, T* grad) {
  for_tasks(task_count(x.count * x.dim, kGrain), x.count, 1,
            [&](int64_t, int64_t begin, int64_t end) { project_some(x, grad, begin, end); });
}

#define DRSL_INSTANTIATE(T)                                                                                     \
  template void redistribute_triangle(const Coefficients<T>&, const Rows<T>&, const double*, T*);               \
  template void redistribute_block(const Coefficients<T>&, const Rows<T>&, int64_t, int64_t, const Rows<T>&,    \
                                   const double*, T*, T*, double*);                                             \
  template void finish_gallery(const Rows<T>&, const double*, const double*, T*);                               \
  template void project(const Rows<T>&, T*);
DRSL_INSTANTIATE(float)
DRSL_INSTANTIATE(double)
#undef DRSL_INSTANTIATE

}  // namespace drsl
