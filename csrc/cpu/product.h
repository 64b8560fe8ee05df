#pragma once
// out = a · b, or out += a · b, on raw rows: the library's product for all but the smallest sizes.
#include <cstdint>

namespace drsl {

// A matrix where it lies: entry (i, k) at data[i · row + k · column].
template <class T>
struct Matrix {
  const T* data;
  int64_t row, column;

  Matrix transposed() const { return {data, column, row}; }
  Matrix from(int64_t i, int64_t k = 0) const { return {data + i * row + k * column, row, column}; }
};

enum class Into { kOverwrite, kAdd };

// a [m, k], b [k, n], out [m, n] with rows `leading` apart.
template <class T>
void product(Matrix<T> a, Matrix<T> b, int64_t m, int64_t n, int64_t k, T* out, int64_t leading,
             Into into);

}  // namespace drsl
