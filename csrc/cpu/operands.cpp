#include "cpu/operands.h"

#include <algorithm>
#include <limits>

#include "cpu/parallel.h"
#include "cpu/vector.h"

namespace drsl {
namespace {

constexpr int64_t kGrain = 1 << 15;  // numbers a task should touch at least

template <class T>
struct OperandTask {
  const T* exact;
  T* operand;
  int64_t dim;
  const double* scale;  // per row; 0 for rows that become zero
  const T* centre;      // [dim] or null
  double centre_norm2;
  T* norm2;
  T* shift;
};

template <class T>
DRSL_INLINE void write_rows(const OperandTask<T>& t, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    const T* from = t.exact + i * t.dim;
    T* to = t.operand + i * t.dim;
    if (t.scale[i] == 0) {  // never multiplied: the row may hold NaN
      for (int64_t k = 0; k < t.dim; ++k) to[k] = 0;
    } else {
      const T s = T(t.scale[i]);
#pragma omp simd
      for (int64_t k = 0; k < t.dim; ++k) to[k] = from[k] * s;
    }
    if (t.centre) {
#pragma omp simd
      for (int64_t k = 0; k < t.dim; ++k) to[k] -= t.centre[k];
      t.shift[i] = T(dot(to, t.centre, t.dim) + 0.5 * t.centre_norm2);
    }
    t.norm2[i] = T(dot(to, to, t.dim));
  }
}
DRSL_CLONES void operands(const OperandTask<float>& t, int64_t begin, int64_t end) {
  write_rows(t, begin, end);
}
DRSL_CLONES void operands(const OperandTask<double>& t, int64_t begin, int64_t end) {
  write_rows(t, begin, end);
}

}  // namespace

// The mean of a few rows if it holds most of their length, and only if no row is so long or so short
// that taking it away would cost digits.
template <class T>
Centre<T> Centre<T>::of(const Rows<T>& x, const Rows<T>& sampled, bool normalize) {
  constexpr int64_t kSample = 16;
  const int64_t n = sampled.count, dim = sampled.dim, take = std::min(n, kSample);
  std::vector<double> sum(static_cast<size_t>(dim), 0.0);
  double mean_norm2 = 0;
  int64_t used = 0;
  for (int64_t t = 0; t < take; ++t) {
    const auto i = size_t(n * t / take);
    if (sampled.inv_norm[i] == 0) continue;
    const double scale = normalize ? sampled.inv_norm[i] : 1.0;
    const T* row = sampled.exact_row(int64_t(i));
    for (int64_t k = 0; k < dim; ++k) sum[size_t(k)] += scale * double(row[k]);
    mean_norm2 += scale * sampled.norm[i] * scale * sampled.norm[i];
    ++used;
  }
  if (used < 2) return {};
  double norm2 = 0;
  for (double& s : sum) {
    s /= double(used);
    norm2 += s * s;
  }
  if (!(norm2 >= 0.5 * mean_norm2 / double(used)) || !is_safe<T>(norm2)) return {};
  for (const Rows<T>* rows : {&x, &sampled})
    for (size_t i = 0; i < size_t(rows->count) && !normalize; ++i) {
      const double r2 = rows->norm[i] * rows->norm[i];
      if (rows->inv_norm[i] != 0 && !(r2 <= 16 * norm2 && 16 * r2 >= norm2)) return {};
    }
  return {std::vector<T>(sum.begin(), sum.end()), norm2};
}

template <class T>
void write_operands(Rows<T>& rows, bool normalize, const Centre<T>& centre) {
  const size_t n = size_t(rows.count);
  for (size_t i = 0; i < n; ++i)
    rows.inv_cos[i] = T(normalize ? double(rows.inv_norm[i] != 0) : rows.inv_norm[i]);
  if (!normalize && centre.row.empty() && !rows.any_bad) {
    rows.operand = rows.exact;
  } else {
    std::vector<double> scale(n);
    std::vector<uint8_t> unsafe(n);
    for (size_t i = 0; i < n; ++i) {
      scale[i] = rows.bad[i] ? 0.0 : normalize ? rows.inv_norm[i] : 1.0;
      unsafe[i] = !normalize && std::isinf(rows.norm2[i]);
    }
    rows.operand_store = Buffer<T>(rows.count * rows.dim);
    rows.operand = rows.operand_store.get();
    const OperandTask<T> task{rows.exact,
                              rows.operand_store.get(),
                              rows.dim,
                              scale.data(),
                              centre.row.empty() ? nullptr : centre.row.data(),
                              centre.norm2,
                              rows.norm2.data(),
                              rows.shift.data()};
    for_tasks(task_count(rows.count * rows.dim, kGrain), rows.count, 1,
              [&](int64_t, int64_t begin, int64_t end) { operands(task, begin, end); });
    for (size_t i = 0; i < n; ++i)
      if (unsafe[i] || rows.bad[i]) rows.norm2[i] = std::numeric_limits<T>::infinity();
  }
  for (const int32_t j : rows.duplicates) {
    const auto i = size_t(rows.representative[size_t(j)]);
    rows.norm2[size_t(j)] = rows.norm2[i];
    rows.shift[size_t(j)] = rows.shift[i];
  }
}

template struct Centre<float>;
template struct Centre<double>;
template void write_operands(Rows<float>&, bool, const Centre<float>&);
template void write_operands(Rows<double>&, bool, const Centre<double>&);

}  // namespace drsl
