#include "cpu/row_counts.h"

#include <algorithm>
#include <limits>

#include "cpu/simd.h"

namespace drsl {

DRSL_CLONES void write_intervals(const RowIntervals& row) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
#pragma omp simd
  for (int64_t k = 0; k < row.entries; ++k) {
    const double v = row.norm2[k] - 2 * row.gram[k];
    const double off = row.slack * row.length[k] + row.share * row.norm2[k];
    const bool counts = row.norm2[k] < kInfinity;  // ∞ − ∞ and 0 · ∞ would be NaN
    row.lower[k] = counts ? v - off : kInfinity;
    row.upper[k] = counts ? v + off : kInfinity;
  }
  for (int64_t k = row.entries; k < row.padded; ++k) row.lower[k] = row.upper[k] = kInfinity;
}

// Each entry searches its place among the matches, a chunk of them in step.
DRSL_CLONES void count_before(const RowCounts& row) {
  int64_t size = 1;
  while (size <= row.matches) size *= 2;
  std::fill_n(row.histogram, size, int64_t(0));
  for (int64_t k = 0; k < row.padded; k += kRowChunk) {
    int64_t behind[kRowChunk], apart[kRowChunk];  // matches not after, and matches before
    for (int i = 0; i < kRowChunk; ++i) behind[i] = apart[i] = 0;
    for (int64_t half = size / 2; half; half /= 2) {
#pragma omp simd
      for (int i = 0; i < kRowChunk; ++i) {
        const int64_t a = behind[i] + half, b = apart[i] + half;
        behind[i] = row.match_lower[a - 1] <= row.upper[k + i] ? a : behind[i];
        apart[i] = row.match_upper[b - 1] < row.lower[k + i] ? b : apart[i];
      }
    }
    for (int i = 0; i < kRowChunk; ++i) {
      ++row.histogram[behind[i]];
      // what does not count is past the padding on one side only
      if (behind[i] != apart[i] && apart[i] < row.matches) row.close->push_back(int32_t(k + i));
    }
  }
  int64_t sum = 0;
  for (int64_t p = 0; p < row.matches; ++p) row.before[p] = sum += row.histogram[p];
}

}  // namespace drsl
