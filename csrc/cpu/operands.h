#pragma once
// What of the rows enters products: operands (rows.h).
#include <cmath>
#include <cstdint>
#include <vector>

#include "cpu/rows.h"

namespace drsl {

// Squared norms between these powers of two, and products of two such rows, neither overflow nor
// lose digits.
template <class T>
struct Safe;
template <>
struct Safe<float> {
  static constexpr int kLow = -86, kHigh = 124;
};
template <>
struct Safe<double> {
  static constexpr int kLow = -930, kHigh = 1020;
};

template <class T>
bool is_safe(double norm2) {
  return norm2 >= std::ldexp(1.0, Safe<T>::kLow) && norm2 <= std::ldexp(1.0, Safe<T>::kHigh);
}

// A row that all rows share, or nothing.
template <class T>
struct Centre {
  std::vector<T> row;  // [dim], or empty
  double norm2 = 0;

  static Centre of(const Rows<T>& x, const Rows<T>& gallery, bool normalize);
};

// operand, and what depends on it: norm2, shift, inv_cos.
template <class T>
void write_operands(Rows<T>& rows, bool normalize, const Centre<T>& centre);

}  // namespace drsl
