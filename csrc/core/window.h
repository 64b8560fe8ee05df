#pragma once
// A sum over sorted numbers, weighted by the smoothed step, from prefix sums.
//
//   Σ_j a_j H(d_i − d_j) = Σ_{j<lo} a_j + Σ_{lo≤j<hi} a_j (½ + (d_i − d_j)/2δ)
//
// where d is ascending, lo counts the j that H takes in full and hi those that it takes at all. The
// sums of a_j and of a_j d_j before lo and before hi are all that this needs. The same from the other
// side, Σ_i a_i H(d_i − d_j), is the same sum over −d, from the largest d down.
#include <limits>

#include "core/host_device.h"

namespace drsl {

// lo, hi: (Σ a, Σ a·d) before them. `own` is d_i, slope 1/2δ. d may be counted from any origin and in
// any unit that all three agree on. What cancels here are sums of a·d: small d keep their digits.
template <class N>
DRSL_HD double window(double own, double slope, const N* lo, const N* hi) {
  return double(lo[0]) + double(hi[0] - lo[0]) * (0.5 + own * slope) -
         double(hi[1] - lo[1]) * slope;
}

// What is left of a difference of equal sums. Less mis-sorted mass than this of a rank has no say.
template <class T>
DRSL_HD T missorted_mass(T missorted, T rank) {
  constexpr T rounding = 16 * std::numeric_limits<T>::epsilon();
  return missorted > rounding * rank ? missorted : T(0);
}

}  // namespace drsl
