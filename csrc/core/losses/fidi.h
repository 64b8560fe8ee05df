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
#include <algorithm>
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

  // Parameters beyond the range of T act as its last numbers: 0 · ∞ must not come of them.
  Fidi(double alpha, double beta)
      : beta(T(std::clamp(beta, kLeast, kMost))),
        more(T(std::min(alpha - 1, kMost))),
        inverse(T(1 / std::min(alpha, kMost))),
        scale(T(std::log(alpha / (alpha - 1)))) {}

  template <class V>
  DRSL_HD Slope<V> positive(V d) const {
    const V most = V{} + std::numeric_limits<T>::max(), x = beta * d < most ? beta * d : most;
    const V w = Approach<V>::of(x), u = Exponential<V>::of(-x);
    // w/α and (α − 1) w/α, and what they leave of 1
    const V first = w * inverse, first_left = (more + u) * inverse;
    const V second = w * (more * inverse), second_left = (more * u + T(1)) * inverse;
    const V inner = x + Logarithm<V>::of(second_left, -second);
    const V slope = inverse * first / first_left + inner - (more * inverse) * first / second_left;
    return {-Logarithm<V>::of(first_left, -first) - u * inner, beta * u * slope};
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
    row.map_pairs([&](auto d) { return scaled(positive(d), mean); },
                  [&](auto d) { return scaled(negative(d), mean); });
  }

  DRSL_HD T total(T positive, T negative, T) const { return positive + negative; }

 private:
  static constexpr double kLeast = std::numeric_limits<T>::min();
  // times log(α/(α − 1)) it is still a number
  static constexpr double kMost = std::numeric_limits<T>::max() / 1024;

  template <class V>
  static DRSL_HD Slope<V> scaled(Slope<V> s, T by) {
    return {s.value * by, s.slope * by};
  }
};

}  // namespace drsl
