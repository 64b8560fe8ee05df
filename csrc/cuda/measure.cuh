#pragma once
// Norms of rows, and rows of unit length, a warp a row. Sums are of doubles, so squares of float
// neither overflow nor vanish; rows of double are scaled by a power of two where theirs would.
#include <cmath>
#include <cstdint>
#include <limits>

#include "cuda/element.cuh"
#include "cuda/stages.h"
#include "cuda/warp.cuh"

namespace drsl::cuda {

constexpr int kMeasureThreads = 256, kMeasureWarps = kMeasureThreads / 32;

// Rows of these lengths: squares and products neither overflow nor lose digits.
template <class T>
constexpr T kShort = sizeof(T) == 4 ? T(1e-15) : T(1e-140);
template <class T>
constexpr T kLong = sizeof(T) == 4 ? T(1e18) : T(1e140);
// √ of the smallest normal number: shorter rows count as zero.
template <class T>
constexpr T kZeroLength = sizeof(T) == 4 ? T(0x1p-63) : T(0x1p-511);

// Σ (scale·x_k)² by a warp; the order of additions does not depend on `aligned`.
template <class E>
__device__ __forceinline__ double squared_norm(const E* x, int64_t dim, bool aligned,
                                               double scale) {
  double sum = 0;
  for (int64_t k = lane_index() * Pack<E>::kCount; k < dim; k += 32 * Pack<E>::kCount) {
    const Pack<E> pack = load_pack(x, k, dim, aligned);
#pragma unroll
    for (int i = 0; i < Pack<E>::kCount; ++i) {
      const double a = scale * double(widen(pack.at[i]));
      sum += a * a;
    }
  }
  return warp_sum(sum);
}

// |x| = root / scale
struct Length {
  double root, scale;

  __device__ __forceinline__ double norm() const { return root / scale; }
  __device__ __forceinline__ double inverse() const { return scale / root; }
  __device__ __forceinline__ bool finite() const {
    return root <= std::numeric_limits<double>::max();
  }
};

template <class E>
__device__ __forceinline__ Length length_of(const E* x, int64_t dim, bool aligned) {
  double scale = 1, sum = squared_norm(x, dim, aligned, scale);
  if (sizeof(E) == 8 && !(sum >= 1e-280 && sum <= 1e280)) {
    scale = sum < 1 ? 0x1p600 : 0x1p-600;
    sum = squared_norm(x, dim, aligned, scale);
  }
  return {sqrt(sum), scale};
}

// The norms of row i, by a warp.
template <class E>
__device__ __forceinline__ void measure_row(const E* rows, int64_t i, int64_t dim, bool aligned,
                                            const Norms<Accumulator<E>>& out) {
  using T = Accumulator<E>;
  constexpr double kLargest = double(std::numeric_limits<T>::max());
  constexpr T kNan = std::numeric_limits<T>::quiet_NaN(), kInf = std::numeric_limits<T>::infinity();
  const Length length = length_of(rows + i * dim, dim, aligned);
  const double norm = length.norm();
  T short_norm = kNan, inverse = kNan, norm2 = kNan;
  if (length.finite()) {
    short_norm = norm < kLargest ? T(norm) : T(kLargest);
    inverse = norm < double(kZeroLength<T>) ? T(0) : T(length.inverse());
    const bool trusted = norm == 0 || (norm >= double(kShort<T>) && norm <= double(kLong<T>));
    norm2 = trusted ? T(norm * norm) : kInf;
  }
  if (lane_index() > 0) return;
  out.norm[i] = short_norm;
  out.inverse[i] = inverse;
  out.norm2[i] = norm2;
}

template <class E>
__global__ void __launch_bounds__(kMeasureThreads, 4)
    measure_rows(const E* rows, int64_t count, int64_t dim, bool aligned,
                 Norms<Accumulator<E>> out) {
  const int64_t stride = int64_t(gridDim.x) * kMeasureWarps;
  for (int64_t i = int64_t(blockIdx.x) * kMeasureWarps + warp_index(); i < count; i += stride)
    measure_row(rows, i, dim, aligned, out);
}

template <class E>
__global__ void __launch_bounds__(kMeasureThreads, 4)
    squared_lengths_of(const E* rows, int64_t count, int64_t dim, bool aligned, double* out) {
  const int64_t stride = int64_t(gridDim.x) * kMeasureWarps;
  for (int64_t i = int64_t(blockIdx.x) * kMeasureWarps + warp_index(); i < count; i += stride) {
    const double sum = squared_norm(rows + i * dim, dim, aligned, 1.0);
    if (lane_index() == 0) out[i] = sum;
  }
}

template <class E>
__global__ void __launch_bounds__(kMeasureThreads, 4)
    normalise_rows(const E* rows, int64_t count, int64_t dim, bool aligned,
                   Norms<Accumulator<E>> norms, Accumulator<E>* unit) {
  using T = Accumulator<E>;
  const int64_t stride = int64_t(gridDim.x) * kMeasureWarps;
  for (int64_t i = int64_t(blockIdx.x) * kMeasureWarps + warp_index(); i < count; i += stride) {
    const E* const row = rows + i * dim;
    // in double once more: 1/|x| need not be a normal number of T
    const double inverse = length_of(row, dim, aligned).inverse();
    const T counts = norms.inverse[i];
    for (int64_t k = lane_index(); k < dim; k += 32)
      unit[i * dim + k] = counts > T(0) ? T(double(widen(row[k])) * inverse) : counts;
  }
}

}  // namespace drsl::cuda
