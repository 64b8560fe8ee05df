// Queries against a gallery, a block of rows at a time: A R for the queries, Aᵀ X for the gallery.
#include <algorithm>

#include "cpu/parallel.h"
#include "cpu/redistribute_parts.h"

namespace drsl {
namespace {

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

// Gallery side of columns [begin, end): column sums of far pairs, near pairs one by one. Begins at
// a word.
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

// Query side of rows [begin, end) of the block: near pairs, then e_q x_q − ΣA x_q; near entries
// become 0.
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

DRSL_CLONES void columns_of(const BlockTask<float>& t, int64_t begin, int64_t end) {
  gallery_columns(t, begin, end);
}
DRSL_CLONES void columns_of(const BlockTask<double>& t, int64_t begin, int64_t end) {
  gallery_columns(t, begin, end);
}
DRSL_CLONES void rows_of(const BlockTask<float>& t, int64_t begin, int64_t end) {
  query_rows(t, begin, end);
}
DRSL_CLONES void rows_of(const BlockTask<double>& t, int64_t begin, int64_t end) {
  query_rows(t, begin, end);
}

template <class T>
DRSL_INLINE void project_rows(const Rows<T>& x, T* grad, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    if (x.bad[size_t(i)]) continue;  // 0 or NaN already
    T* g = grad + i * x.dim;
    const T* row = x.exact_row(i);
    const double inv = x.inv_norm[size_t(i)], along = dot(g, row, x.dim) * inv * inv;
    for (int64_t k = 0; k < x.dim; ++k)
      g[k] = T((double(g[k]) - along * double(row[k])) * (inv / x.unit));
  }
}
DRSL_CLONES void project_some(const Rows<float>& x, float* grad, int64_t begin, int64_t end) {
  project_rows(x, grad, begin, end);
}
DRSL_CLONES void project_some(const Rows<double>& x, double* grad, int64_t begin, int64_t end) {
  project_rows(x, grad, begin, end);
}

}  // namespace

template <class T>
void redistribute_block(const Coefficients<T>& c, const Rows<T>& x, int64_t first, int64_t count,
                        const Rows<T>& r, const double* e, T* grad_x, T* grad_r,
                        double* column_sum) {
  const BlockTask<T> task{c, x, r, first, count, e, grad_x, grad_r, column_sum};
  const int64_t tasks = task_count(count * r.count, kCoefficientGrain);
  if (grad_r)
    for_tasks(tasks, r.count, kWord,
              [&](int64_t, int64_t begin, int64_t end) { columns_of(task, begin, end); });
  for_tasks(tasks, count, 1,
            [&](int64_t, int64_t begin, int64_t end) { rows_of(task, begin, end); });
  const Matrix<T> a = rows_as_matrix<T>(c.a, c.leading);
  if (grad_x)
    product(a, rows_as_matrix(r.operand, r.dim), count, r.dim, r.count, grad_x + first * x.dim,
            x.dim, Into::kAdd);
  if (grad_r)
    product(a.transposed(), rows_as_matrix(x.operand_row(first), x.dim), r.count, x.dim, count,
            grad_r, r.dim, Into::kAdd);
}

template <class T>
void finish_gallery(const Rows<T>& r, const double* f, const double* column_sum, T* grad_r) {
  for_tasks(task_count(r.count * r.dim, kCoefficientGrain), r.count, 1,
            [&](int64_t, int64_t begin, int64_t end) {
              for (int64_t k = begin; k < end; ++k) {
                if (f[k] != 0) add_scaled(grad_r + k * r.dim, T(f[k]), r.exact_row(k), r.dim);
                add_scaled(grad_r + k * r.dim, T(-column_sum[k]), r.operand_row(k), r.dim);
              }
            });
}

template <class T>
void project(const Rows<T>& x, T* grad) {
  for_tasks(task_count(x.count * x.dim, kCoefficientGrain), x.count, 1,
            [&](int64_t, int64_t begin, int64_t end) { project_some(x, grad, begin, end); });
}

#define DRSL_INSTANTIATE(T)                                                                  \
  template void redistribute_block(const Coefficients<T>&, const Rows<T>&, int64_t, int64_t, \
                                   const Rows<T>&, const double*, T*, T*, double*);          \
  template void finish_gallery(const Rows<T>&, const double*, const double*, T*);            \
  template void project(const Rows<T>&, T*);
DRSL_INSTANTIATE(float)
DRSL_INSTANTIATE(double)
#undef DRSL_INSTANTIATE

}  // namespace drsl
