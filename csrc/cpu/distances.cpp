#include "cpu/distances.h"

#include <algorithm>

#include "cpu/parallel.h"
#include "cpu/vector.h"

namespace drsl {
namespace {

// Rows lie anywhere: while one is read the next is fetched, or the loop would wait for memory most of
// its time. 16 sums, in a plain loop: the compiler widens 16 floats at once well, and eight badly.
template <class E>
DRSL_INLINE void write_distances(const E* x, const E* rows, const std::vector<int32_t>& which,
                                 int64_t dim, double* out) {
  constexpr int kSums = 16;
  for (size_t i = 0; i < which.size(); ++i) {
    const E* r = rows + which[i] * dim;
    const E* next = rows + which[std::min(i + 1, which.size() - 1)] * dim;
    double sums[kSums] = {};
    int64_t k = 0;
    for (; k + kSums <= dim; k += kSums) {
      __builtin_prefetch(next + k);
#pragma omp simd
      for (int j = 0; j < kSums; ++j) {
        const double e = double(x[k + j]) - double(r[k + j]);
        sums[j] += e * e;
      }
    }
    for (int j = 0; k < dim; ++k, ++j) {
      const double e = double(x[k]) - double(r[k]);
      sums[j] += e * e;
    }
    for (int half = kSums / 2; half; half /= 2)
      for (int j = 0; j < half; ++j) sums[j] += sums[j + half];
    out[i] = sums[0];
  }
}

}  // namespace

DRSL_CLONES void distances(const float* x, const float* rows, const std::vector<int32_t>& which,
                           int64_t dim, double* out) {
  write_distances(x, rows, which, dim, out);
}
DRSL_CLONES void distances(const double* x, const double* rows, const std::vector<int32_t>& which,
                           int64_t dim, double* out) {
  write_distances(x, rows, which, dim, out);
}

namespace {
DRSL_CLONES double length2(const float* x, int64_t dim) { return dot(x, x, dim); }
DRSL_CLONES double length2(const double* x, int64_t dim) { return dot(x, x, dim); }

template <class E>
void write_lengths(const E* rows, int64_t count, int64_t dim, double* out) {
  for_tasks(task_count(count * dim, 1 << 15), count, 1, [&](int64_t, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) out[i] = length2(rows + i * dim, dim);
  });
}
}  // namespace

void squared_lengths(const float* rows, int64_t count, int64_t dim, double* out) {
  write_lengths(rows, count, dim, out);
}
void squared_lengths(const double* rows, int64_t count, int64_t dim, double* out) {
  write_lengths(rows, count, dim, out);
}

DRSL_CLONES void rough_distances(const float* x, const float* rows,
                                 const std::vector<int32_t>& which, int64_t dim, float* out) {
  using Vector = Simd<float>::Vector;
  constexpr int kLanes = Simd<float>::kLanes, kVectors = 4;
  for (size_t i = 0; i < which.size(); ++i) {
    const float* r = rows + which[i] * dim;
    const float* next = rows + which[std::min(i + 1, which.size() - 1)] * dim;
    Vector sums[kVectors] = {};
    int64_t k = 0;
    for (; k + kVectors * kLanes <= dim; k += kVectors * kLanes)
      for (int v = 0; v < kVectors; ++v) {
        __builtin_prefetch(next + k + v * kLanes);
        const Vector e = load(x + k + v * kLanes) - load(r + k + v * kLanes);
        sums[v] += e * e;
      }
    Vector& rest = sums[3];
    for (int v = 0; k + kLanes <= dim; k += kLanes, ++v) {
      const Vector e = load(x + k) - load(r + k);
      sums[v] += e * e;
    }
    for (int j = 0; k < dim; ++k, ++j) rest[j] += (x[k] - r[k]) * (x[k] - r[k]);
    float lanes[kLanes];
    store(lanes, (sums[0] + sums[1]) + (sums[2] + sums[3]));
    for (int half = kLanes / 2; half; half /= 2)
      for (int j = 0; j < half; ++j) lanes[j] += lanes[j + half];
    out[i] = lanes[0];
  }
}

}  // namespace drsl
