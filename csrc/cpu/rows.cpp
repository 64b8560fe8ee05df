#include "cpu/rows.h"

#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "cpu/operands.h"
#include "cpu/parallel.h"
#include "cpu/vector.h"
#include "engine/hash_index.h"

namespace drsl {
namespace {

constexpr int64_t kGrain = 1 << 15;  // numbers a task should touch at least
// Rows that begin elsewhere than at a multiple of that many bytes are copied: a library may add in
// another order then, and where rows lie must not show in the result.
constexpr uintptr_t kLine = 64;

DRSL_CLONES void squared_norms(const float* x, int64_t begin, int64_t end, int64_t dim,
                               double* out) {
  for (int64_t i = begin; i < end; ++i) out[i] = dot(x + i * dim, x + i * dim, dim);
}
DRSL_CLONES void squared_norms(const double* x, int64_t begin, int64_t end, int64_t dim,
                               double* out) {
  for (int64_t i = begin; i < end; ++i) out[i] = dot(x + i * dim, x + i * dim, dim);
}

// |x| where |x|² overflows or underflows in double; NaN or infinity if x holds one.
template <class T>
double careful_norm(const T* x, int64_t dim) {
  double largest = 0;
  for (int64_t k = 0; k < dim; ++k) {
    if (!std::isfinite(x[k])) return std::numeric_limits<double>::quiet_NaN();
    largest = std::max(largest, std::fabs(double(x[k])));
  }
  if (largest == 0) return 0;
  double sum = 0;
  for (int64_t k = 0; k < dim; ++k) sum += (x[k] / largest) * (x[k] / largest);
  return largest * std::sqrt(sum);
}

template <class T, class In>
void read(const In* x, int64_t count, int64_t dim, Rows<T>& rows) {
  rows.count = count;
  rows.dim = dim;
  const int64_t tasks = task_count(count * dim, kGrain);
  const bool as_it_is = std::is_same_v<T, In> && reinterpret_cast<uintptr_t>(x) % kLine == 0;
  if (as_it_is) {
    rows.exact = reinterpret_cast<const T*>(x);
  } else {
    rows.exact_store = Buffer<T>(count * dim);
    rows.exact = rows.exact_store.get();
    for_tasks(tasks, count * dim, 1, [&](int64_t, int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) rows.exact_store.get()[k] = T(x[k]);
    });
  }
  rows.norm.resize(size_t(count));
  rows.inv_norm.resize(size_t(count));
  rows.inv_cos.resize(size_t(count));
  // read in whole chunks, as far as a row of coefficients
  rows.norm2.resize(size_t(count / 64 * 64 + 128));
  rows.shift.assign(size_t(count), T(0));
  rows.bad.assign(size_t(count), 0);
  std::vector<double>& norm2 = rows.inv_norm;  // for a moment
  for_tasks(tasks, count, 1, [&](int64_t, int64_t begin, int64_t end) {
    squared_norms(rows.exact, begin, end, dim, norm2.data());
  });

  rows.representative.resize(size_t(count));
  HashIndex index(count);
  for (int64_t i = 0; i < count; ++i) {
    uint64_t key;
    std::memcpy(&key, &norm2[size_t(i)], sizeof key);
    const int32_t first = index.find(key, int32_t(i), [&](int32_t j) {
      return norm2[size_t(j)] == norm2[size_t(i)] &&
             std::memcmp(rows.exact_row(j), rows.exact_row(i), size_t(dim) * sizeof(T)) == 0;
    });
    rows.representative[size_t(i)] = first;
    if (first != i) rows.duplicates.push_back(int32_t(i));
  }

  for (size_t i = 0; i < size_t(count); ++i) {
    const double n2 = norm2[i];
    rows.norm[i] = is_safe<T>(n2) ? std::sqrt(n2) : careful_norm(rows.exact_row(int64_t(i)), dim);
    rows.bad[i] = !std::isfinite(rows.norm[i]);
    rows.any_bad |= rows.bad[i];
    const double smallest = std::sqrt(double(std::numeric_limits<T>::min()));
    rows.inv_norm[i] = rows.bad[i] || rows.norm[i] < smallest ? 0.0 : 1.0 / rows.norm[i];
  }
}

// 1 if the longest row is safe. Otherwise the power of two next to it, provided that no row is so
// much shorter that its inverse would then leave the range of T: such mixtures stay as they are,
// and near pairs see to them one by one.
template <class T>
double common_unit(const Rows<T>& x, const Rows<T>& r) {
  double longest = 0, shortest = std::numeric_limits<double>::infinity();
  for (const Rows<T>* rows : {&x, &r})
    for (size_t i = 0; i < size_t(rows->count); ++i) {
      if (rows->bad[i] || rows->norm[i] == 0) continue;
      longest = std::max(longest, rows->norm[i]);
      shortest = std::min(shortest, rows->norm[i]);
    }
  constexpr double kMixture = 1e-6;
  if (longest == 0 || is_safe<T>(longest * longest) || shortest < kMixture * longest) return 1;
  // unit and 1 / unit are numbers of T
  constexpr int most = std::numeric_limits<T>::max_exponent - 2;
  return std::ldexp(1.0, std::clamp(std::ilogb(longest), -most, most));
}

template <class T>
void change_unit(Rows<T>& rows, double unit) {
  rows.unit = unit;
  if (unit != 1) {
    Buffer<T> scaled(rows.count * rows.dim);
    for (int64_t k = 0; k < rows.count * rows.dim; ++k)
      scaled.get()[k] = T(double(rows.exact[k]) / unit);
    rows.exact_store = std::move(scaled);
    rows.exact = rows.exact_store.get();
  }
  for (size_t i = 0; i < size_t(rows.count); ++i) {
    rows.norm[i] /= unit;
    rows.inv_norm[i] *= unit;
    const double n2 = rows.norm[i] * rows.norm[i];
    rows.norm2[i] = n2 == 0 || is_safe<T>(n2) ? T(n2) : std::numeric_limits<T>::infinity();
  }
}

}  // namespace

template <class T, class In>
void pack(const In* x, int64_t count, int64_t dim, bool normalize, Rows<T>& rows, const In* gallery,
          int64_t gallery_count, Rows<T>& gallery_rows) {
  read(x, count, dim, rows);
  if (gallery) read(gallery, gallery_count, dim, gallery_rows);
  const double unit = common_unit(rows, gallery ? gallery_rows : rows);
  change_unit(rows, unit);
  if (gallery) change_unit(gallery_rows, unit);
  const auto centre = Centre<T>::of(rows, gallery ? gallery_rows : rows, normalize);
  write_operands(rows, normalize, centre);
  if (gallery) write_operands(gallery_rows, normalize, centre);
}

template void pack(const float*, int64_t, int64_t, bool, Rows<float>&, const float*, int64_t,
                   Rows<float>&);
template void pack(const double*, int64_t, int64_t, bool, Rows<double>&, const double*, int64_t,
                   Rows<double>&);
using torch::headeronly::BFloat16;
using torch::headeronly::Half;
template void pack(const Half*, int64_t, int64_t, bool, Rows<float>&, const Half*, int64_t,
                   Rows<float>&);
template void pack(const BFloat16*, int64_t, int64_t, bool, Rows<float>&, const BFloat16*, int64_t,
                   Rows<float>&);

}  // namespace drsl
