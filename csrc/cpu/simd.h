#pragma once
// SIMD without intrinsics: vectors of the compiler, and functions compiled once
// per instruction set.
//
// DRSL_CLONES marks an entry point. The dynamic loader picks the clone for the machine; everything
// it calls that is always_inline (DRSL_HD, DRSL_INLINE) is compiled for the same set. Lambdas and
// plain calls are not.
#include <cstdint>
#include <cstring>

#include "core/step.h"

// g++ 11 has no dispatcher for levels; clang refuses vectors that a clone hands to a function which is not
// one, inlined or not: it compiles for the instructions that it is told (-march), without clones.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(DRSL_NO_CLONES)
#if __GNUC__ >= 12
#define DRSL_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define DRSL_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#endif
#else
#define DRSL_CLONES
#endif
#define DRSL_INLINE inline __attribute__((always_inline))
#define DRSL_LAMBDA __attribute__((always_inline))

namespace drsl {

// One cache line of T: one AVX-512, two AVX2 or four SSE registers.
template <class T>
struct Simd {
  typedef T Vector __attribute__((vector_size(64)));
  static constexpr int kLanes = 64 / sizeof(T);
};

template <class T>
DRSL_INLINE typename Simd<T>::Vector load(const T* p) {
  typename Simd<T>::Vector v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
template <class T>
DRSL_INLINE void store(T* p, typename Simd<T>::Vector v) {
  std::memcpy(p, &v, sizeof v);
}

// Numbers ≥ 0 are in the order of their bits, and the compiler has integer minima where it must not
// assume that floating point ones ignore NaN. Negative numbers are negative integers: the larger of
// one and 0 is +0.
template <class T, class Int>
struct BitOrder {
  using Vector = typename Simd<T>::Vector;
  using Bits = typename Simd<Int>::Vector;

  static DRSL_INLINE Bits bits(Vector x) { return reinterpret_cast<Bits>(x); }
  static DRSL_INLINE Vector number(Bits b) { return reinterpret_cast<Vector>(b); }
  static DRSL_INLINE Bits least(Bits a, Bits b) { return a < b ? a : b; }
  static DRSL_INLINE Bits most(Bits a, Bits b) { return a > b ? a : b; }
  static DRSL_INLINE Vector saturate(Vector x) {
    const Vector one = Vector{} + T(1);
    return number(least(most(bits(x), Bits{}), bits(one)));
  }
};

template <class T>
struct OrderOf;
template <>
struct OrderOf<float> : BitOrder<float, int32_t> {};
template <>
struct OrderOf<double> : BitOrder<double, int64_t> {};

// √x and 1/√x of n numbers, n a whole number of vectors. Zero, negative and infinite
// x give anything.
//
// float: Newton's method, y ← y (3/2 − x y²/2), from the bits of x shifted by one: three steps
// take 3 % to rounding (two units in the last place), in a fifth of the time of a square root
// and a division.
DRSL_INLINE void roots(const float* x, int n, float* root, float* inverse) {
  for (int k = 0; k < n; k += Simd<float>::kLanes) {
    const auto v = load(x + k);
    const auto half = v * 0.5f;
    // without signs: those of negative x overflow
    typedef uint32_t Words __attribute__((vector_size(64)));
    const auto shifted = reinterpret_cast<Words>(OrderOf<float>::bits(v) >> 1);
    auto y = reinterpret_cast<Simd<float>::Vector>(0x5f375a86u - shifted);
    for (int step = 0; step < 3; ++step) y = y * (1.5f - half * y * y);
    store(inverse + k, y);
    store(root + k, v * y);
  }
}
DRSL_INLINE void roots(const double* x, int n, double* root, double* inverse) {
#pragma omp simd
  for (int k = 0; k < n; ++k) {
    root[k] = __builtin_sqrt(x[k]);
    inverse[k] = 1 / root[k];
  }
}

template <>
struct Saturate<Simd<float>::Vector> {
  static DRSL_INLINE Simd<float>::Vector of(Simd<float>::Vector x) {
    return OrderOf<float>::saturate(x);
  }
};
template <>
struct Saturate<Simd<double>::Vector> {
  static DRSL_INLINE Simd<double>::Vector of(Simd<double>::Vector x) {
    return OrderOf<double>::saturate(x);
  }
};

}  // namespace drsl
