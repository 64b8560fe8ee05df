#pragma once
// Rows → digits (core/fixed_point.h), a warp a row.
#include <cmath>

#include "core/fixed_point.h"
#include "cuda/element.cuh"
#include "cuda/warp.cuh"

namespace drsl::cuda {

constexpr int kDigitsThreads = 256;

// What is known of a row beside its digits, in a unit in which the longest rows are about 1.
struct FixedRow {
  double step, norm2;  // t, |x|²
  RowLengths lengths;
};
constexpr int64_t kFixedRowNumbers = sizeof(FixedRow) / sizeof(double);

template <class E>
struct DigitsTask {
  const E* rows;  // [count, dim]
  int64_t count, padded, dim;
  const double* centre;  // [dim] or null
  double scale;          // a power of two
  bool mirrored;         // digits c, b, a in place of a, b, c

  int8_t* digits;   // [padded, 3, line]
  float2* columns;  // [padded] |r|² and −2 t; ∞ and 0 beyond the last row
  FixedRow* fixed;  // [count]

  __host__ __device__ int64_t line() const {
    return (dim + kDigitsLine - 1) / kDigitsLine * kDigitsLine;
  }
  __device__ __forceinline__ double at(const E* row, int64_t k) const {
    return scale * (double(widen(row[k])) - (centre ? centre[k] : 0.0));
  }
};

template <class E>
__device__ __forceinline__ void write_row(const DigitsTask<E>& task, int64_t i) {
  const int64_t line = task.line(), dim = i < task.count ? task.dim : 0;
  const E* const row = task.rows + i * task.dim;
  double most = 0, norm2 = 0;
#pragma unroll 1
  for (int64_t k = lane_index(); k < dim; k += 32) {
    const double v = task.at(row, k);
    most = max(most, fabs(v));
    norm2 = fma(v, v, norm2);
  }
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes /= 2)
    most = max(most, __shfl_xor_sync(kAllLanes, most, lanes));
  norm2 = warp_sum(norm2);
  // a float, rounded up: t · 2^16 and −2 t are exact. Below that the row is all rest.
  const bool split = most > 0x1p-60;
  const double step = split ? double(float(most / kLargestFixed * (1 + 0x1p-22))) : 0.0;
  double rest2 = 0, b2 = 0, c2 = 0;
#pragma unroll 1
  for (int64_t k = 4 * lane_index(); k < line; k += 4 * 32) {
    uint32_t a = 0, b = 0, c = 0;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const double v = k + j < dim ? task.at(row, k + j) : 0.0;
      const double whole = split ? rint(v / step) : 0.0;
      // NaN and ∞ are no numbers of any row, and 0 here
      const bool fits = fabs(whole) <= kLargestFixed;
      const Digits digits = digits_of(fits ? int32_t(whole) : 0);
      const double rest = v - whole * step;
      rest2 = fma(rest, rest, rest2);
      b2 += double(digits.b * digits.b);
      c2 += double(digits.c * digits.c);
      a |= uint32_t(digits.a & 255) << 8 * j;
      b |= uint32_t(digits.b & 255) << 8 * j;
      c |= uint32_t(digits.c & 255) << 8 * j;
    }
    int8_t* const out = task.digits + i * kDigits * line + k;
    *reinterpret_cast<uint32_t*>(out) = task.mirrored ? c : a;
    *reinterpret_cast<uint32_t*>(out + line) = b;
    *reinterpret_cast<uint32_t*>(out + 2 * line) = task.mirrored ? a : c;
  }
  rest2 = warp_sum(rest2), b2 = warp_sum(b2), c2 = warp_sum(c2);
  if (lane_index() > 0) return;
  const bool real = i < task.count;
  task.columns[i] = {real ? float(norm2) : __int_as_float(0x7f800000), float(-2 * step)};
  if (real)
    task.fixed[i] = {
        step, norm2, {sqrt(norm2), sqrt(rest2), 256 * step * sqrt(b2), step * sqrt(c2)}};
}

template <class E>
__global__ void __launch_bounds__(kDigitsThreads, 4) digits_of_rows(DigitsTask<E> task) {
  constexpr int kWarps = kDigitsThreads / 32;
  const int64_t stride = int64_t(gridDim.x) * kWarps;
#pragma unroll 1
  for (int64_t i = int64_t(blockIdx.x) * kWarps + warp_index(); i < task.padded; i += stride)
    write_row(task, i);
}

}  // namespace drsl::cuda
