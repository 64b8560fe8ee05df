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

// Whole blocks of S = A + Aᵀ, with −ΣS on the diagonal. A tile is 64 rows: one word of flags the other way.
template <class T>
struct SymmetricTask {
  const Coefficients<T>& c;
  const Rows<T>& x;
  const double* diagonal;
  T* s;  // rows of the block, leading apart
  T* grad;
  uint64_t* flags;  // [block rows, leading / 64]
};

template <class T>
DRSL_INLINE void symmetric_tile(const SymmetricTask<T>& t, int64_t block, int64_t begin, int64_t end) {
  const int64_t n = t.x.count, ld = t.c.leading, words = ld / kWord, dim = t.x.dim;
  const T* const a = t.c.a;
  // Whole tiles, two a cache line: rows and leading of A are padded. Three strided streams of 64 rows are more than
  // hardware prefetchers follow, so what comes next is asked for by hand.
  constexpr int64_t side = Tile<T>::kSide, line = Simd<T>::kLanes, ahead = 2 * line;
  for (int64_t j = 0; j < n; j += line)
    for (int64_t i = begin; i < end; i += side) {
      for (int64_t k = 0; k < side; ++k) {
        __builtin_prefetch(a + (i + k) * ld + j + ahead);
        __builtin_prefetch(t.s + (i + k - block) * ld + j + ahead, 1);
      }
      if ((i - begin) % line == 0 && j + ahead + line <= n)
        for (int64_t k = 0; k < line; ++k) __builtin_prefetch(a + (j + ahead + k) * ld + i);
      for (int64_t tile = j; tile < j + line; tile += side)
        transposed_tile(a + tile * ld + i, ld, [=](int k, const auto& column) DRSL_LAMBDA {
          auto sum = column;
          std::memcpy(&sum, a + (i + k) * ld + tile, sizeof sum);
          sum += column;
          std::memcpy(t.s + (i + k - block) * ld + tile, &sum, sizeof sum);
        });
    }
  // Near from either side: own flags, and the flags of the columns turned round.
  uint64_t any = 0;
  for (int64_t i = begin; i < end; ++i) {
    uint64_t* flags = t.flags + (i - block) * words;
    for (int64_t w = 0; w < words; ++w) any |= flags[w] = t.c.near[i * words + w];
  }
  for (int64_t j = 0; j < n; ++j)
    for (uint64_t rows = t.c.near[j * words + begin / kWord]; rows; rows &= rows - 1) {
      any = 1;
      t.flags[(begin - block + __builtin_ctzll(rows)) * words + j / kWord] |= uint64_t(1) << (j % kWord);
    }
  for (int64_t i = begin; i < end; ++i) {
    T* s = t.s + (i - block) * ld;
    T* grad = t.grad + i * dim;
    for (int64_t k = 0; k < dim; ++k) grad[k] = 0;
    if (t.diagonal[i] != 0) add_scaled(grad, T(t.diagonal[i]), t.x.exact_row(i), dim);
    s[i] = 0;
    for (int64_t w = 0; any && w < words; ++w)
      for (uint64_t bits = t.flags[(i - block) * words + w]; bits; bits &= bits - 1) {
        const int64_t j = w * kWord + __builtin_ctzll(bits);
        add_near(grad, s[j], t.x, j, t.x, i, t.c.normalize);
        s[j] = 0;
      }
    s[i] = -T(row_sum(s, n));
  }
}
DRSL_CLONES void symmetric(const SymmetricTask<float>& t, int64_t block, int64_t begin, int64_t end) {
  symmetric_tile(t, block, begin, end);
}
DRSL_CLONES void symmetric(const SymmetricTask<double>& t, int64_t block, int64_t begin, int64_t end) {
  symmetric_tile(t, block, begin, end);
}

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
    for (int64_t k = 0; k < x.dim; ++k) g[k] = T((double(g[k]) - along * double(row[k])) * inv);
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
void redistribute_triangle(const Coefficients<T>& c, const Rows<T>& x, const double* diagonal, int64_t block_rows,
                           T* grad) {
  const int64_t n = x.count;
  const Buffer<T> s(block_rows * c.leading);
  const Buffer<uint64_t> flags(block_rows * (c.leading / kWord));
  const SymmetricTask<T> task{c, x, diagonal, s.get(), grad, flags.get()};
  for (int64_t first = 0; first < n; first += block_rows) {
    const int64_t rows = std::min(block_rows, n - first);
    for_tasks(task_count(rows * n, kGrain), rows, kWord, [&](int64_t, int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i += kWord)
        symmetric(task, first, first + i, first + std::min(i + kWord, end));
    });
    product(rows_as_matrix(s.get(), c.leading), rows_as_matrix(x.operand, x.dim), rows, x.dim, n,
            grad + first * x.dim, x.dim, Into::kAdd);
  }
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
  template void redistribute_triangle(const Coefficients<T>&, const Rows<T>&, const double*, int64_t, T*);      \
  template void redistribute_block(const Coefficients<T>&, const Rows<T>&, int64_t, int64_t, const Rows<T>&,    \
                                   const double*, T*, T*, double*);                                             \
  template void finish_gallery(const Rows<T>&, const double*, const double*, T*);                               \
  template void project(const Rows<T>&, T*);
DRSL_INSTANTIATE(float)
DRSL_INSTANTIATE(double)
#undef DRSL_INSTANTIATE

}  // namespace drsl
