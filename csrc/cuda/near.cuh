#pragma once
// Pairs that a Gram entry is not good enough for, from the rows themselves, in double:
//
//   d = √Σ_k (x_k − r_k)²        cos = Σ_k x_k r_k / (|x| |r|)
//
// by a warp, numbers k ≡ lane (mod 32) a lane. Rows whose squares leave the range of double are scaled
// by powers of two. The result depends on the two rows alone, whether they come by themselves or with
// others; swapping them changes no bit.
#include <cmath>
#include <cstdint>

#include "cuda/element.cuh"
#include "cuda/launch.h"
#include "cuda/warp.cuh"

namespace drsl::cuda {

template <class T>
struct Pair {
  T distance, cosine;  // NaN if one of the rows is bad
};

// To [−1, 1]; fminf and fmaxf would turn NaN into a number.
template <class T>
__device__ __forceinline__ T clamp_cosine(T y) {
  return y < T(-1) ? T(-1) : y > T(1) ? T(1) : y;
}

// Takes rows of this norm where squares of their numbers, and of differences as small as the last
// digit, neither overflow nor vanish. Squares of float never do.
template <class T>
__device__ __forceinline__ double safe_scale(T norm) {
  if constexpr (sizeof(T) == 4) return 1;
  return norm < 1e-100 ? 0x1p600 : norm > 1e140 ? 0x1p-600 : 1.0;
}

// What is known of a row beforehand.
template <class T>
struct PairSide {
  T norm, inverse;
  double scale;

  __device__ __forceinline__ PairSide(T norm, T inverse)
      : norm(norm), inverse(inverse), scale(safe_scale(norm)) {}
};

template <class T>
__device__ __forceinline__ double common_scale(const PairSide<T>& x, const PairSide<T>& r) {
  return x.scale < r.scale ? x.scale : r.scale;
}

// One more number of each row.
__device__ __forceinline__ void add_to_pair(double x, double x_scale, double r, double r_scale,
                                            double common, double& d2, double& dot) {
  const double difference = common * x - common * r;
  d2 += difference * difference;
  dot += (x_scale * x) * (r_scale * r);
}
__device__ __forceinline__ void add_to_norm(double x, double scale, double& norm2) {
  norm2 += (scale * x) * (scale * x);
}

template <class T>
__device__ __forceinline__ Pair<T> finish_pair(double d2, double dot, double x2, double r2,
                                               const PairSide<T>& x, const PairSide<T>& r) {
  const double d = sqrt(d2) / common_scale(x, r);
  // equal rows have the cosine of a row with itself, exactly
  const double cosine = d2 == 0 ? 1.0 : dot / (sqrt(x2) * sqrt(r2));
  const bool zero = x.inverse == T(0) || r.inverse == T(0);
  const T poison = T(0) * x.norm + T(0) * r.norm;  // NaN if a row is bad
  return {T(d) + poison, (zero ? T(0) : T(clamp_cosine(cosine))) + poison};
}

// x and r: rows, or what takes [] as rows do and gives numbers that can be widened. Called by a whole
// warp; the same result in all lanes.
template <class X, class R, class T>
__device__ __forceinline__ Pair<T> exact_pair(const X& x, T x_norm, T x_inverse, const R& r,
                                              T r_norm, T r_inverse, int64_t D) {
  const PairSide<T> own(x_norm, x_inverse), other(r_norm, r_inverse);
  const double common = common_scale(own, other);
  double d2 = 0, dot = 0, x2 = 0, r2 = 0;
#pragma unroll 1
  for (int k = lane_index(); k < int(D); k += 32) {
    const double a = double(widen(x[k])), b = double(widen(r[k]));
    add_to_pair(a, own.scale, b, other.scale, common, d2, dot);
    add_to_norm(a, own.scale, x2);
    add_to_norm(b, other.scale, r2);
  }
  return finish_pair(warp_sum(d2), warp_sum(dot), warp_sum(x2), warp_sum(r2), own, other);
}

}  // namespace drsl::cuda
