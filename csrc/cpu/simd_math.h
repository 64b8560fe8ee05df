#pragma once
// The functions of core/elementary.h for vectors: without branches or tables, to a unit or two in the
// last place.
#include <limits>

#include "core/elementary.h"
#include "cpu/simd.h"

namespace drsl {

// eˣ to about one unit in the last place: x = k log 2 + r, |r| ≤ ½ log 2, eˣ = 2ᵏ p(r). What would be
// below the smallest normal number is 0, and a little below the largest it is infinite.
template <class T, class Int>
struct VectorExponential {
  using Vector = typename Simd<T>::Vector;
  using Bits = typename Simd<Int>::Vector;
  static constexpr bool kFloat = sizeof(T) == 4;
  static constexpr T kHigh = kFloat ? T(88) : T(709), kLow = kFloat ? T(-87) : T(-708);

  static DRSL_INLINE Vector of(Vector x) {
    const Vector high = Vector{} + kHigh, low = Vector{} + kLow;
    Vector y = x < high ? x : high;
    y = y > low ? y : low;
    constexpr T kRound = kFloat ? T(0x1.8p23) : T(0x1.8p52);  // adding it rounds to an integer
    const Vector shifted = y * T(0x1.71547652b82fep0) + kRound, k = shifted - kRound;
    const Vector r = (y - k * (kFloat ? T(0x1.62ep-1) : T(0x1.62e42feep-1))) -
                     k * (kFloat ? T(0x1.0bfbe8e8p-15) : T(0x1.a39ef35793c76p-33));
    const Bits power = reinterpret_cast<Bits>(shifted) << (kFloat ? 23 : 52);
    const Vector p = series(r);
    const Vector e = reinterpret_cast<Vector>(reinterpret_cast<Bits>(p) + power);
    const Vector infinite = Vector{} + std::numeric_limits<T>::infinity();
    return x > high ? infinite : x < low ? Vector{} : e;
  }

 private:
  // Σ rᵏ / k!, to half a unit for |r| ≤ ½ log 2
  static DRSL_INLINE Vector series(Vector r) {
    constexpr int kTerms = kFloat ? 7 : 13;
    constexpr T kInverse[14] = {1,
                                1,
                                T(1) / 2,
                                T(1) / 6,
                                T(1) / 24,
                                T(1) / 120,
                                T(1) / 720,
                                T(1) / 5040,
                                T(1) / 40320,
                                T(1) / 362880,
                                T(1) / 3628800,
                                T(1) / 39916800,
                                T(1) / 479001600,
                                T(1) / 6227020800};
    Vector p = Vector{} + kInverse[kTerms];
    for (int k = kTerms - 1; k >= 0; --k) p = p * r + kInverse[k];
    return p;
  }
};
template <>
struct Exponential<Simd<float>::Vector> : VectorExponential<float, int32_t> {};
template <>
struct Exponential<Simd<double>::Vector> : VectorExponential<double, int64_t> {};

// log x = k log 2 + log m, √½ ≤ m < √2, log m = 2 artanh s, s = (m − 1) / (m + 1). x positive and normal.
template <>
struct Logarithm<Simd<double>::Vector> {
  using Vector = Simd<double>::Vector;
  using Bits = Simd<int64_t>::Vector;

  static DRSL_INLINE Vector of(Vector x, Vector less) {
    constexpr int64_t kRootHalf = 0x3fe6a09e667f3bcd;
    const Bits bits = reinterpret_cast<Bits>(x), k = (bits - kRootHalf) >> 52;
    const Vector m = reinterpret_cast<Vector>(bits - (k << 52));
    const Vector f = k == 0 ? less : m - 1.0, s = f / (f + 2.0), z = s * s;
    Vector series = Vector{} + 1.0 / 21;
    for (int odd = 19; odd >= 1; odd -= 2) series = series * z + 1.0 / odd;
    const Vector power = __builtin_convertvector(k, Vector);
    return power * 0x1.62e42feep-1 + (2.0 * s * series + power * 0x1.a39ef35793c76p-33);
  }
};

// 1 − e^−x, x ≥ 0
template <>
struct Approach<Simd<double>::Vector> {
  using Vector = Simd<double>::Vector;

  static DRSL_INLINE Vector of(Vector x) {
    Vector series = Vector{} + 1.0;  // Σ (−x)ᵏ / (k + 1)!
    for (int k = 14; k >= 2; --k) series = 1.0 - series * x * (1.0 / k);
    return x < 0.35 ? x * series : 1.0 - Exponential<Vector>::of(-x);
  }
};

}  // namespace drsl
