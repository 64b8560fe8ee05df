#include "cpu/rows.h"

#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "cpu/parallel.h"
#include "cpu/vector.h"
#include "engine/hash_index.h"

namespace drsl {
namespace {

constexpr int64_t kGrain = 1 << 15;  // numbers a task should touch at least
// Rows that begin elsewhere than at a multiple of that many bytes are copied: a library may add in
// another order then, and where rows lie must not show in the result.
constexpr uintptr_t kLine = 64;

// Squared norms between these powers of two, and products of two such rows, neither overflow nor
// lose digits.
template <class T>
struct Safe;
template <>
struct Safe<float> {
  static constexpr int kLow = -86, kHigh = 124;
};
template <>
struct Safe<double> {
  static constexpr int kLow = -930, kHigh = 1020;
};

template <class T>
bool is_safe(double norm2) {
  return norm2 >= std::ldexp(1.0, Safe<T>::kLow) && norm2 <= std::ldexp(1.0, Safe<T>::kHigh);
}

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
DRSL_INLINE void write_operands(const OperandTask<T>& t, int64_t begin, int64_t end) {
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
  write_operands(t, begin, end);
}
DRSL_CLONES void operands(const OperandTask<double>& t, int64_t begin, int64_t end) {
  write_operands(t, begin, end);
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

// A row that all rows share, or nothing: the mean of a few of them if it holds most of their
// length, and only if no row is so long or so short that taking it away would cost digits.
template <class T>
std::vector<T> common_centre(const Rows<T>& x, const Rows<T>& sampled, bool normalize,
                             double& norm2) {
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
  norm2 = 0;
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
  return std::vector<T>(sum.begin(), sum.end());
}

template <class T>
void prepare(Rows<T>& rows, bool normalize, const std::vector<T>& centre, double centre_norm2) {
  const size_t n = size_t(rows.count);
  for (size_t i = 0; i < n; ++i)
    rows.inv_cos[i] = T(normalize ? double(rows.inv_norm[i] != 0) : rows.inv_norm[i]);
  if (!normalize && centre.empty() && !rows.any_bad) {
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
                              centre.empty() ? nullptr : centre.data(),
                              centre_norm2,
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

}  // namespace

template <class T, class In>
void pack(const In* x, int64_t count, int64_t dim, bool normalize, Rows<T>& rows, const In* gallery,
          int64_t gallery_count, Rows<T>& gallery_rows) {
  read(x, count, dim, rows);
  if (gallery) read(gallery, gallery_count, dim, gallery_rows);
  const double unit = common_unit(rows, gallery ? gallery_rows : rows);
  change_unit(rows, unit);
  if (gallery) change_unit(gallery_rows, unit);
  double centre_norm2 = 0;
  const std::vector<T> centre =
      common_centre(rows, gallery ? gallery_rows : rows, normalize, centre_norm2);
  prepare(rows, normalize, centre, centre_norm2);
  if (gallery) prepare(gallery_rows, normalize, centre, centre_norm2);
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
