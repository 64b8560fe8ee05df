#include "cpu/place_counts.h"

#include <algorithm>
#include <limits>

#include "cpu/simd.h"

namespace drsl {
namespace {

template <class T>
struct IntegerLike;
template <>
struct IntegerLike<float> {
  using type = int32_t;
};
template <>
struct IntegerLike<double> {
  using type = int64_t;
};

template <class T>
DRSL_INLINE void write_chunk(const Intervals<T>& row, int64_t first, int64_t n, const T* gram) {
  constexpr T kInfinity = std::numeric_limits<T>::infinity();
  const T slack = row.slack, share = row.share;
  const T *norm2 = row.norm2 + first, *length = row.length + first;
  T *lower = row.lower + first, *upper = row.upper + first;
#pragma omp simd
  for (int64_t k = 0; k < n; ++k) {
    const T v = norm2[k] - 2 * gram[k];
    const T off = slack * length[k] + share * norm2[k];
    const bool counts = norm2[k] < kInfinity;  // ∞ − ∞ and 0 · ∞ would be NaN
    lower[k] = counts ? v - off : kInfinity;
    upper[k] = counts ? v + off : kInfinity;
  }
}

template <class T>
DRSL_INLINE void write_intervals(const Intervals<T>& row) {
  constexpr T kInfinity = std::numeric_limits<T>::infinity();
  for (int64_t first = 0; first < row.entries; first += kPlaceChunk) {
    const int64_t n = std::min(kPlaceChunk, row.entries - first);
    T sum[kPlaceChunk];
    std::memcpy(sum, row.gram + first, size_t(n) * sizeof(T));
    for (int64_t part = 1; part < row.parts; ++part) {
      const T* more = row.gram + part * row.apart + first;
#pragma omp simd
      for (int64_t k = 0; k < n; ++k) sum[k] += more[k];
    }
    write_chunk(row, first, n, sum);
  }
  for (int64_t k = row.entries; k < row.padded; ++k) row.lower[k] = row.upper[k] = kInfinity;
}

// Whether any lane is not 0.
template <class V>
DRSL_INLINE bool any(V v) {
  typedef int64_t Words __attribute__((vector_size(64)));
  const Words w = reinterpret_cast<Words>(v);
  return ((w[0] | w[1]) | (w[2] | w[3])) | ((w[4] | w[5]) | (w[6] | w[7]));
}

// Every match against every entry, the entries of a chunk in registers.
template <class T>
DRSL_INLINE void count_few(const PlaceCounts<T>& row) {
  using Int = typename IntegerLike<T>::type;
  using Vector = typename Simd<T>::Vector;
  using Mask = typename Simd<Int>::Vector;
  constexpr int kLanes = Simd<T>::kLanes, kVectors = 4;
  Mask count[kFewMatches];
  for (int64_t p = 0; p < row.matches; ++p) count[p] = Mask{};
  for (int64_t k = 0; k < row.padded; k += kVectors * kLanes) {
    Vector lower[kVectors], upper[kVectors];
    Mask close[kVectors];
    for (int i = 0; i < kVectors; ++i) {
      lower[i] = load(row.lower + k + i * kLanes);
      upper[i] = load(row.upper + k + i * kLanes);
      close[i] = Mask{};
    }
    for (int64_t p = 0; p < row.matches; ++p) {
      const Vector low = Vector{} + row.match_lower[p], high = Vector{} + row.match_upper[p];
      Mask here = count[p];
      for (int i = 0; i < kVectors; ++i) {
        const Mask before = upper[i] < low;
        here -= before;
        close[i] |= before ^ (lower[i] <= high);
      }
      count[p] = here;
    }
    if (!any((close[0] | close[1]) | (close[2] | close[3]))) continue;
    for (int i = 0; i < kVectors; ++i) {
      if (!any(close[i])) continue;
      for (int lane = 0; lane < kLanes; ++lane)
        if (close[i][lane]) row.close->push_back(int32_t(k + i * kLanes + lane));
    }
  }
  for (int64_t p = 0; p < row.matches; ++p) {
    row.before[p] = 0;
    for (int lane = 0; lane < kLanes; ++lane) row.before[p] += int64_t(count[p][lane]);
  }
}

// Each entry searches its place among the matches, a chunk of them in step.
template <class T>
DRSL_INLINE void count_many(const PlaceCounts<T>& row) {
  using Int = typename IntegerLike<T>::type;
  Int size = 1;
  while (size <= row.matches) size *= 2;
  std::fill_n(row.histogram, size, int64_t(0));
  for (int64_t k = 0; k < row.padded; k += kPlaceChunk) {
    Int behind[kPlaceChunk], apart[kPlaceChunk];  // matches not after, and matches before
    for (int i = 0; i < kPlaceChunk; ++i) behind[i] = apart[i] = 0;
    for (Int half = size / 2; half; half /= 2) {
#pragma omp simd
      for (int i = 0; i < kPlaceChunk; ++i) {
        const Int a = behind[i] + half, b = apart[i] + half;
        behind[i] = row.match_lower[a - 1] <= row.upper[k + i] ? a : behind[i];
        apart[i] = row.match_upper[b - 1] < row.lower[k + i] ? b : apart[i];
      }
    }
    for (int i = 0; i < kPlaceChunk; ++i) {
      ++row.histogram[behind[i]];
      // what does not count is past the padding on one side only
      if (behind[i] != apart[i] && apart[i] < row.matches) row.close->push_back(int32_t(k + i));
    }
  }
  int64_t sum = 0;
  for (int64_t p = 0; p < row.matches; ++p) row.before[p] = sum += row.histogram[p];
}

}  // namespace

DRSL_CLONES void intervals(const Intervals<float>& row) { write_intervals(row); }
DRSL_CLONES void intervals(const Intervals<double>& row) { write_intervals(row); }

namespace {
DRSL_CLONES void few(const PlaceCounts<float>& row) { count_few(row); }
DRSL_CLONES void few(const PlaceCounts<double>& row) { count_few(row); }
DRSL_CLONES void many(const PlaceCounts<float>& row) { count_many(row); }
DRSL_CLONES void many(const PlaceCounts<double>& row) { count_many(row); }
}  // namespace

void count_places(const PlaceCounts<float>& row) {
  row.matches <= kFewMatches ? few(row) : many(row);
}
void count_places(const PlaceCounts<double>& row) {
  row.matches <= kFewMatches ? few(row) : many(row);
}

}  // namespace drsl
