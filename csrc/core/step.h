#pragma once
// H_δ, the smoothed step of losses.md:
//
//   δ > 0:  H(x) = clamp(x / 2δ + ½, 0, 1)          δ = 0:  H(x) = 1 if x ≥ 0, else 0
//
// V is a scalar or a SIMD vector of T: both know +, *, comparison and ?:. H(−∞) = 0, so an entry
// that is left out carries distance +∞. A NaN gives something plausible: queries that see one are
// set aside beforehand.
#include <limits>
#include <type_traits>

#include "core/host_device.h"

namespace drsl {

// clamp(x, 0, 1). An engine may know a faster way for a vector type of its own.
template <class V>
struct Saturate {
  static DRSL_HD V of(V x) {
#if defined(__CUDA_ARCH__)
    if constexpr (std::is_same_v<V, float>)
      return __saturatef(x);  // free of charge after an addition
#endif
    const V zero = V{}, one = V{} + 1;
    x = x > zero ? x : zero;
    return x < one ? x : one;
  }
};

// A step can be taken pair by pair, step(d_i − d_j), or in fewer operations a pair with what
// depends on one of the two prepared once for each entry:
//
//   u_i = of_positive(d_i, origin)    v_j = of_entry(d_j, origin)    H(d_i − d_j) = at(u_i, v_j)
//
// u and v have a rounding of their own, relative to |d − origin| / 2δ: for rows whose positives lie
// close together, and then with the nearest of them for an origin.
template <class T>
struct Ramp {
  static constexpr bool kSmooth = false;
  static constexpr T kWidest = 64;  // |u| when prepared: rounding stays below 4e-6 in float32

  T slope;       // 1 / 2δ, neither infinite nor 0 where δ is tiny or huge
  T half_width;  // δ: H is 0 at −δ and below, 1 at δ and above

  DRSL_HD explicit Ramp(T delta) : slope(T(0.5) / delta), half_width(delta) {
    constexpr T most = std::numeric_limits<T>::max(), least = std::numeric_limits<T>::min();
    slope = slope < most ? slope : most;
    slope = slope > least ? slope : least;
  }

  template <class V>
  DRSL_HD V operator()(V x) const {
    return Saturate<V>::of(x * slope + T(0.5));
  }
  // Where prepared steps count from, for positives in [nearest, farthest]; whether they can be used.
  DRSL_HD T origin(T nearest, T) const { return nearest; }
  DRSL_HD bool can_prepare(T nearest, T farthest) const {
    return (farthest - nearest + half_width) * slope < kWidest;
  }
  DRSL_HD T of_positive(T d, T origin) const { return (d - origin) * slope + T(0.5); }
  template <class V>
  DRSL_HD V of_entry(V d, T origin) const {
    return (d - origin) * slope;
  }
  template <class V>
  DRSL_HD V at(T u, V v) const {
    return Saturate<V>::of(u - v);
  }
};

template <class T>
struct Hard {
  DRSL_HD explicit Hard(T = 0) {}

  static constexpr bool kSmooth = false;
  static constexpr T slope = 0;
  static constexpr T half_width = 0;

  template <class V>
  DRSL_HD V operator()(V x) const {
    const V zero = V{}, one = V{} + T(1);
    return x >= zero ? one : zero;
  }
  DRSL_HD T origin(T nearest, T) const { return nearest; }
  DRSL_HD bool can_prepare(T, T) const { return true; }
  DRSL_HD T of_positive(T d, T) const { return d; }
  template <class V>
  DRSL_HD V of_entry(V d, T) const {
    return d;
  }
  template <class V>
  DRSL_HD V at(T u, V v) const {
    return (*this)(u - v);
  }
};

// The interface of prepared steps for those that are better taken pair by pair.
template <class T, class Step>
struct PairByPair {
  static constexpr bool kSmooth = Step::kSmooth;

  Step step;

  DRSL_HD T of_positive(T d, T) const { return d; }
  template <class V>
  DRSL_HD V of_entry(V d, T) const {
    return d;
  }
  template <class V>
  DRSL_HD V at(T u, V v) const {
    return step(u - v);
  }
};

template <class Step>
inline constexpr bool is_hard = false;
template <class T>
inline constexpr bool is_hard<Hard<T>> = true;

}  // namespace drsl
