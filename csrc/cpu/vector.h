#pragma once
// Inner products and updates of rows. Explicit vectors, so that the order of additions depends on
// the length alone: rows that are equal bit by bit give equal results wherever they lie.
#include "cpu/simd.h"

namespace drsl {

struct Wide {  // eight doubles, loaded from eight numbers of any type
  typedef double Vector __attribute__((vector_size(64)));
  static constexpr int kLanes = 8;

  template <class T>
  static DRSL_INLINE Vector load(const T* p) {
    typedef T Narrow __attribute__((vector_size(8 * sizeof(T))));
    Narrow v;
    std::memcpy(&v, p, sizeof v);
    return __builtin_convertvector(v, Vector);
  }
  static DRSL_INLINE double sum(Vector v) {
    return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
  }
};

// Σ f(k) over [0, n): `vector(k)` gives eight terms from k on, `one(k)` a single one.
template <class V, class S>
DRSL_INLINE double sum_terms(int64_t n, V vector, S one) {
  Wide::Vector a{}, b{};
  int64_t k = 0;
  for (; k + 16 <= n; k += 16) {
    a += vector(k);
    b += vector(k + 8);
  }
  if (k + 8 <= n) {
    a += vector(k);
    k += 8;
  }
  double rest = 0;
  for (; k < n; ++k) rest += one(k);
  return Wide::sum(a + b) + rest;
}

template <class T>
DRSL_INLINE double dot(const T* x, const T* r, int64_t n) {
  return sum_terms(
      n, [=](int64_t k) DRSL_LAMBDA { return Wide::load(x + k) * Wide::load(r + k); },
      [=](int64_t k) DRSL_LAMBDA { return double(x[k]) * double(r[k]); });
}

// Σ (a x)(b r)
template <class T>
DRSL_INLINE double scaled_dot(const T* x, double a, const T* r, double b, int64_t n) {
  return sum_terms(
      n, [=](int64_t k) DRSL_LAMBDA { return (Wide::load(x + k) * a) * (Wide::load(r + k) * b); },
      [=](int64_t k) DRSL_LAMBDA { return (double(x[k]) * a) * (double(r[k]) * b); });
}

// a x − b r: exactly 0 for equal rows and scales, with fused multiplication or without. x − r is
// multiplied by the smaller scale, or it would drown a short row next to a long one.
template <class V>
DRSL_INLINE V scaled_difference(double a, V x, double b, V r) {
  return a < b ? a * (x - r) + (a - b) * r : b * (x - r) + (a - b) * x;
}

// |a x − b r|²
template <class T>
DRSL_INLINE double difference_squared(const T* x, double a, const T* r, double b, int64_t n) {
  return sum_terms(
      n,
      [=](int64_t k) DRSL_LAMBDA {
        const Wide::Vector e = scaled_difference(a, Wide::load(x + k), b, Wide::load(r + k));
        return e * e;
      },
      [=](int64_t k) DRSL_LAMBDA {
        const double e = scaled_difference(a, double(x[k]), b, double(r[k]));
        return e * e;
      });
}

// out += s (a r − b x). In double: where a r and b x nearly agree, their difference still has all
// its digits.
template <class T>
DRSL_INLINE void add_difference(T* out, double s, double a, const T* r, double b, const T* x,
                                int64_t n) {
#pragma omp simd
  for (int64_t k = 0; k < n; ++k)
    out[k] += T(s * scaled_difference(a, double(r[k]), b, double(x[k])));
}

// out += s x
template <class T>
DRSL_INLINE void add_scaled(T* out, T s, const T* x, int64_t n) {
#pragma omp simd
  for (int64_t k = 0; k < n; ++k) out[k] += s * x[k];
}

}  // namespace drsl
