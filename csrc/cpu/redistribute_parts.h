#pragma once
// What both ways of redistributing share.
#include "cpu/product.h"
#include "cpu/redistribute.h"
#include "cpu/vector.h"

namespace drsl {

constexpr int64_t kWord = 64;  // columns, or rows of a tile, that share a word of flags
constexpr int64_t kCoefficientGrain = 1 << 14;  // coefficients a task should handle at least

// grad += A_qk (r_k − x_q) of a near pair, from the rows as given (of unit length if normalising).
template <class T>
DRSL_INLINE void add_near(T* grad, T a, const Rows<T>& r, int64_t k, const Rows<T>& x, int64_t q,
                          bool normalize) {
  if (a == T(0)) return;
  const double ir = normalize ? r.inv_norm[size_t(k)] : 1.0,
               ix = normalize ? x.inv_norm[size_t(q)] : 1.0;
  add_difference(grad, double(a), ir, r.exact_row(k), ix, x.exact_row(q), x.dim);
}

template <class T>
DRSL_INLINE double row_sum(const T* a, int64_t n) {
  return sum_terms(
      n, [=](int64_t k) DRSL_LAMBDA { return Wide::load(a + k); },
      [=](int64_t k) DRSL_LAMBDA { return double(a[k]); });
}

template <class T>
Matrix<T> rows_as_matrix(const T* data, int64_t leading) {
  return {data, leading, 1};
}

}  // namespace drsl
