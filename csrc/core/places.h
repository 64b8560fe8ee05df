#pragma once
// Where many keys belong among sorted numbers. All search together, in lanes: no branch depends on
// the data.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "core/host_device.h"

namespace drsl {

// Sorted numbers, padded with +∞ to a power of two above their count.
template <class T>
class SortedNumbers {
 public:
  void assign(int n, const T* ascending) {
    size_ = 1;
    while (size_ <= n) size_ *= 2;
    padded_.assign(size_t(size_), std::numeric_limits<T>::infinity());
    std::copy_n(ascending, n, padded_.begin());
    n_ = n;
  }

  // place[k] = how many of the numbers lie below key[k] + shift or, if `equal`, not above it. Asked of
  // the difference, which keeps the digits of a small shift.
  template <bool equal>
  DRSL_HD void places(int keys, const T* key, T shift, int32_t* place) const {
    const T* const sorted = padded_.data();
    for (int k = 0; k < keys; ++k) place[k] = 0;
    for (int32_t half = size_ / 2; half > 0; half /= 2)
#pragma omp simd
      for (int k = 0; k < keys; ++k) {
        const T at = sorted[place[k] + half - 1];
        place[k] += (equal ? at - key[k] <= shift : at - key[k] < shift) ? half : 0;
      }
    // the padding is no number
    for (int k = 0; k < keys; ++k) place[k] = place[k] < n_ ? place[k] : n_;
  }

 private:
  std::vector<T> padded_;
  int32_t size_ = 1, n_ = 0;
};

}  // namespace drsl
