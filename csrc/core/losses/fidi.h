#pragma once
// FIDI: fine-grained difference-aware pairwise loss (losses.md). Each pair by itself, by its distance
// d, with u = e^(−βd):
//
//   positive   log(α / (α − 1 + u)) + u (log α − βd − log1p((α − 1) u))
//   negative   u log(α / (α − 1))
//
// summed over all pairs of a query and divided by their number. Near d = 0 the terms of a positive
// cancel; written in w = 1 − u they keep their digits:
//
//   −log(1 − w/α) − u (βd + log(1 − (α − 1) w/α))
//   ∂/∂d = βu ( (1/α) (w/α) / (1 − w/α) + (βd + log(..)) − (1 − 1/α) (w/α) / (1 − (α − 1) w/α) )
#include <cmath>
#include <limits>

#include "core/elementary.h"
#include "core/losses/policy.h"

namespace drsl {

template <class T>
struct Fidi {
  static constexpr Measure kMeasure = Measure::kDistance;
  static constexpr Way kWay = Way::kEach;
  static constexpr AngularAt kAngular = AngularAt::kNowhere;
  static constexpr bool own_is_positive = false;

  // A query weighs as much as it has pairs.
  static DRSL_HD int64_t weight(int64_t positives, int64_t negatives) {
    return positives + negatives;
  }

  T beta;
  T more, inverse;  // α − 1, 1/α
  T scale;          // log(α / (α − 1))

  Fidi(double alpha, double beta)
      : beta(T(beta)),
        more(T(alpha - 1)),
        inverse(T(1 / alpha)),
        scale(T(std::log(alpha / (alpha - 1)))) {}

  DRSL_HD Slope<T> positive(T d) const {
    constexpr T most = std::numeric_limits<T>::max();
    const T x = beta * d < most ? beta * d : most, w = -std::expm1(-x), u = std::exp(-x);
    const T first = w * inverse, rest_of_first = (more + u) * inverse;        // w/α, 1 − w/α
    const T second = w * more * inverse, rest = (T(1) + more * u) * inverse;  // (α − 1) w/α, 1 − ..
    const bool small = w < T(0.5);
    const T log_first = small ? std::log1p(-first) : std::log(rest_of_first);
    const T inner = x + (small ? std::log1p(-second) : std::log(rest));
    const T slope = inverse * first / rest_of_first + inner - more * inverse * first / rest;
    return {-log_first - u * inner, beta * u * slope};
  }

  template <class V>
  DRSL_HD Slope<V> negative(V d) const {
    const V value = scale * Exponential<V>::of(d * -beta);
    return {value, -beta * value};
  }

  template <class Row>
  DRSL_HD void operator()(Row& row) const {
    const T mean = T(1) / T(row.entries());
    // the sums go to the first and the second term
    row.map_pairs([&](T d) { return scaled(positive(d), mean); },
                  [&](auto d) { return scaled(negative(d), mean); });
  }

  DRSL_HD T total(T positive, T negative, T) const { return positive + negative; }

 private:
  template <class V>
  static DRSL_HD Slope<V> scaled(Slope<V> s, T by) {
    return {s.value * by, s.slope * by};
  }
};

}  // namespace drsl
