#pragma once
// The smooth step σ(x/τ) = 1 / (1 + e^(−x/τ)), with the members of step.h and a derivative:
//
//   σ' = σ (1 − σ) / τ
//
// Prepared, a pair costs no exponential but a division:
//
//   u_i = e^((o − v_i)/τ)        w_j = e^((v_j − o)/τ)        σ((v_i − v_j)/τ) = 1 / (1 + u_i w_j)
//
// Where w_j leaves the range of T while u_i lies within e^±kWidest, σ is 0 or 1 to all digits.
#include <limits>

#include "core/elementary.h"

namespace drsl {

template <class T>
struct Sigmoid {
  static constexpr bool kSmooth = true;  // no prefix sum gives Σ σ, and there is a derivative
  static constexpr T kWidest = sizeof(T) == 8 ? T(600) : T(40);

  T slope;       // 1 / τ, neither infinite nor 0
  T half_width;  // beyond it, σ(−x/τ) is below the smallest number

  DRSL_HD explicit Sigmoid(T temperature) : slope(T(1) / temperature), half_width(0) {
    constexpr T most = std::numeric_limits<T>::max(), least = std::numeric_limits<T>::min();
    slope = slope < most ? slope : most;
    slope = slope > least ? slope : least;
    half_width = (sizeof(T) == 8 ? T(745) : T(104)) * temperature;
  }

  template <class V>
  DRSL_HD V operator()(V x) const {
    return Reciprocal<V>::of(T(1) + Exponential<V>::of(x * -slope));
  }

  // Where prepared steps count from, for positives in [nearest, farthest]; whether they can be used.
  DRSL_HD T origin(T nearest, T farthest) const { return nearest + (farthest - nearest) / 2; }
  DRSL_HD bool can_prepare(T nearest, T farthest) const {
    return (farthest - nearest) * slope < 2 * kWidest;
  }
  DRSL_HD T of_positive(T v, T origin) const { return Exponential<T>::of((origin - v) * slope); }
  template <class V>
  DRSL_HD V of_entry(V v, T origin) const {
    return Exponential<V>::of((v - origin) * slope);
  }
  template <class V>
  DRSL_HD V at(T u, V w) const {
    return Reciprocal<V>::of(T(1) + u * w);
  }
};

// τ times the derivative of a step that gave h.
template <class V>
DRSL_HD V steepness_of(V h) {
  return h - h * h;
}

}  // namespace drsl
