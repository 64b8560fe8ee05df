#pragma once
// Near pairs: d² = |x|² + |r|² − 2 x·r loses its digits where d is small against |x| and |r|. With u the rounding
// of a Gram entry, d has relative error of about u (|x|² + |r|²) / d²; below the bound here the pair's distance,
// cosine and gradient come from the differences x − r. The comparison is written so that NaN and ∞ count as near:
// what products cannot be trusted with (huge, tiny rows) takes the same way.
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
  double distance, cosine;
};

template <class T>
DRSL_INLINE Pair exact_pair(const Rows<T>& xs, int64_t i, const Rows<T>& rs, int64_t j, bool normalize) {
  j = rs.representative[size_t(j)];
  const T* x = xs.exact_row(i);
  const T* r = rs.exact_row(j);
  const double nx = xs.norm[size_t(i)], nr = rs.norm[size_t(j)];
  const double ix = xs.inv_norm[size_t(i)], ir = rs.inv_norm[size_t(j)];
  double scale = 1;  // squares of float never leave the range of double
  if constexpr (std::is_same_v<T, double>) {
    const double longest = std::max(nx, nr);
    if (longest > 1e140 || (longest > 0 && longest < 1e-140)) scale = 1 / longest;
    if (!std::isfinite(scale)) scale = 1 / std::numeric_limits<double>::min();
  }
  const double d = std::sqrt(difference_squared(x, r, xs.dim, scale)) / scale;
  double cosine = 0;
  if (scale == 1) {
    cosine = dot(x, r, xs.dim) * ix * ir;
  } else {
    for (int64_t k = 0; k < xs.dim; ++k) cosine += (double(x[k]) * ix) * (double(r[k]) * ir);
  }
  cosine = std::clamp(cosine, -1.0, 1.0);
  if (!normalize) return {d, cosine};
  if (ix == 0 || ir == 0) return {ix == ir ? 0.0 : 1.0, 0.0};
  const double radial = nx - nr;  // unit rows: d² = (|x − r|² − (|x| − |r|)²) / |x||r|
  return {std::sqrt(std::max(0.0, ((d - radial) * ix) * ((d + radial) * ir))), cosine};
}

}  // namespace drsl
