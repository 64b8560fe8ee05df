#pragma once
// How far a distance that comes from a product may be off.
//
// v = |r|² − 2 x·r = d² − |x|² orders the entries r of a query x as distances d do. u is half a unit
// in the last place of the products' type T, w that of double, X and R the lengths of the two
// operands, D their dimension, n the number of roundings a term of a product may see: the terms of
// the longest part that it comes in, and the number of parts. However it is added up, it is off by at
// most γ X R, γ = nu / (1 − nu). Rounding |r|², the subtraction and the operands themselves (if a
// centre was taken away) adds at most u (6 X R + 4 R² + 2 X²), norms and the distance from differences
// at most 2 w (D + 16) (X R + R² + X²), and the arithmetic of intervals less than the difference to
//     α X R + β R² + β X² + tiny,   α = (2 n + 16) u (1 + 2 n u) + 2 w (D + 16),
//                                   β = 8 u + 2 w (D + 16),
// where tiny is for products below the smallest normal number. On a grid (all numbers are multiples
// of one power of two, and no sum leaves the digits of T) nothing is rounded, and the bound is 0.
#include <cmath>
#include <cstdint>
#include <limits>

namespace drsl {

// For one query, X² given.
struct RoundingBound {
  double slack, share, own;  // α X, β, β X² + tiny

  double off(double norm2) const { return slack * std::sqrt(norm2) + share * norm2 + own; }

  // roundings: n. T: type of the products.
  template <class T>
  static RoundingBound of(double norm2, int64_t dim, int64_t roundings, bool on_grid) {
    if (on_grid) return {0, 0, 0};
    constexpr double u = std::numeric_limits<T>::epsilon() / 2,
                     w = std::numeric_limits<double>::epsilon() / 2;
    const double D = double(dim), n = double(roundings), wide = 2 * w * (D + 16);
    const double alpha = (2 * n + 16) * u * (1 + 2 * n * u) + wide, beta = 8 * u + wide;
    const double tiny = D * std::ldexp(1.0, sizeof(T) == 4 ? -120 : -1000);
    return {alpha * std::sqrt(norm2), beta, beta * norm2 + tiny};
  }
};

}  // namespace drsl
