// drsl::pairwise on a CPU: a block of the Gram matrix at a time becomes distance and cosine where
// it lies.
#include <algorithm>
#include <cmath>

#include "cpu/matrix_ops.h"
#include "cpu/near.h"
#include "cpu/parallel.h"
#include "cpu/product.h"

namespace drsl {
namespace {

// rows: half a Gram matrix in such blocks costs 0.55 to 0.62 of a whole one
constexpr int64_t kBlock = 128;
constexpr int64_t kGrain = 1 << 14;  // entries a task should handle at least

template <class T>
struct PairwiseTask {
  const Rows<T>& x;
  const Rows<T>& r;
  bool self;
  T* distance;  // Gram entries in
  T* cosine;
};

// Rows [begin, end); of a batch with itself only the part right of the diagonal.
template <class T>
DRSL_INLINE void convert_rows(const PairwiseTask<T>& t, int64_t begin, int64_t end) {
  const Rows<T>&x = t.x, &r = t.r;
  for (int64_t i = begin; i < end; ++i) {
    T* d = t.distance + i * r.count;
    T* c = t.cosine + i * r.count;
    const T own = x.norm2[size_t(i)], shift = x.shift[size_t(i)], inverse = x.inv_cos[size_t(i)];
    const int64_t first = t.self ? i : 0;
    int any_near = 0;
#pragma omp simd reduction(| : any_near)
    for (int64_t k = first; k < r.count; ++k) {
      const T g = d[k], both = own + r.norm2[size_t(k)], d2 = both - 2 * g;
      T y = (g + shift + r.shift[size_t(k)]) * inverse * r.inv_cos[size_t(k)];
      y = y < T(-1) ? T(-1) : y;
      c[k] = y > T(1) ? T(1) : y;
      any_near |= d2 > kNear<T> * both ? 0 : 1;
      d[k] = d2 > kNear<T> * both ? std::sqrt(d2) : T(-1);  // −1: near
    }
    for (int64_t k = first; any_near && k < r.count; ++k) {
      if (d[k] != T(-1)) continue;
      const Pair pair = exact_pair(x, i, r, k, false);
      d[k] = T(pair.distance);
      c[k] = T(pair.cosine);
    }
    for (int64_t k = first; x.unit != 1 && k < r.count; ++k) d[k] *= T(x.unit);
    for (int64_t k = first; t.self && k < r.count; ++k) {
      t.distance[k * r.count + i] = d[k];
      t.cosine[k * r.count + i] = c[k];
    }
  }
}
DRSL_CLONES void convert(const PairwiseTask<float>& t, int64_t begin, int64_t end) {
  convert_rows(t, begin, end);
}
DRSL_CLONES void convert(const PairwiseTask<double>& t, int64_t begin, int64_t end) {
  convert_rows(t, begin, end);
}

// Rows that are equal bit by bit look alike to every other row, whatever order a product
// added them in.
template <class T>
void copy_duplicates(const Rows<T>& rows, T* matrix, int64_t height, int64_t width,
                     bool whole_rows) {
  for (const int32_t j : rows.duplicates) {
    const int64_t from = rows.representative[size_t(j)];
    if (whole_rows) std::copy_n(matrix + from * width, width, matrix + j * width);
  }
  for (int64_t i = 0; i < height; ++i)
    for (const int32_t j : rows.duplicates)
      matrix[i * width + j] = matrix[i * width + rows.representative[size_t(j)]];
}

}  // namespace

template <class T>
void pairwise(const Rows<T>& x, const Rows<T>& r, T* distance, T* cosine) {
  const int64_t B = x.count, G = r.count;
  const bool self = &x == &r;
  const PairwiseTask<T> task{x, r, self, distance, cosine};
  for (int64_t first = 0; first < B; first += kBlock) {
    const int64_t rows = std::min(kBlock, B - first), column = self ? first : 0;
    product(Matrix<T>{x.operand_row(first), x.dim, 1},
            Matrix<T>{r.operand_row(column), r.dim, 1}.transposed(), rows, G - column, x.dim,
            distance + first * G + column, G, Into::kOverwrite);
    for_tasks(task_count(rows * G, kGrain), rows, 1, [&](int64_t, int64_t begin, int64_t end) {
      convert(task, first + begin, first + end);
    });
  }
  // the distance of a row to itself is no rounding matter
  for (int64_t i = 0; self && i < B; ++i) {
    if (x.bad[size_t(i)]) continue;
    distance[i * G + i] = 0;
    cosine[i * G + i] = T(x.inv_norm[size_t(i)] != 0);
  }
  for (T* matrix : {distance, cosine}) copy_duplicates(r, matrix, B, G, self);
}

template void pairwise(const Rows<float>&, const Rows<float>&, float*, float*);
template void pairwise(const Rows<double>&, const Rows<double>&, double*, double*);

}  // namespace drsl
