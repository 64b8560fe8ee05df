#pragma once
// Near pairs: d² = |x|² + |r|² − 2 x·r loses its digits where d is small against |x| and |r|. With
// u the rounding of a Gram entry, d has relative error of about u (|x|² + |r|²) / d²; below the
// bound here the pair's distance, cosine and gradient come from the differences x − r. The
// comparison is written so that NaN and ∞ count as near: what products cannot be trusted with
// (huge, tiny rows) takes the same way.
#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "cpu/rows.h"
#include "cpu/vector.h"

namespace drsl {

template <class T>
constexpr T kNear = T(1) / T(32);

// Below the smallest normal number a distance has no direction: its derivative is 0.
template <class T>
constexpr T kSmallest = std::numeric_limits<T>::min();

struct Pair {
  double distance, cosine;  // the distance in units of the rows; between unit rows if normalising
};

// |scale_x x − scale_r r|. Without scales the rows may be so long or short that squares leave the
// range of double.
template <class T>
DRSL_INLINE double exact_distance(const Rows<T>& xs, int64_t i, const Rows<T>& rs, int64_t j,
                                  bool normalize) {
  const T* x = xs.exact_row(i);
  const T* r = rs.exact_row(j);
  if (normalize) {
    return std::sqrt(
        difference_squared(x, xs.inv_norm[size_t(i)], r, rs.inv_norm[size_t(j)], xs.dim));
  }
  double scale = 1;
  if constexpr (std::is_same_v<T, double>) {  // squares of float never do
    const double longest = std::max(xs.norm[size_t(i)], rs.norm[size_t(j)]);
    if (longest > 1e140 || (longest > 0 && longest < 1e-140)) scale = std::min(1 / longest, 1e300);
  }
  return std::sqrt(difference_squared(x, scale, r, scale, xs.dim)) / scale;
}

template <class T>
DRSL_INLINE Pair exact_pair(const Rows<T>& xs, int64_t i, const Rows<T>& rs, int64_t j,
                            bool normalize) {
  j = rs.representative[size_t(j)];
  const double ix = xs.inv_norm[size_t(i)], ir = rs.inv_norm[size_t(j)];
  const double along = scaled_dot(xs.exact_row(i), ix, rs.exact_row(j), ir, xs.dim);
  return {exact_distance(xs, i, rs, j, normalize), std::clamp(along, -1.0, 1.0)};
}

}  // namespace drsl
