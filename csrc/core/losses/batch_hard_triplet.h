#pragma once
// Batch-hard triplet: the farthest positive and the nearest negative of a query (losses.md).
//
//   max(0, m + d_p − d_n), or log(1 + e^(d_p − d_n)) if soft
//
// Of equal distances the lowest column counts; at the hinge the derivative is 0.
#include <cmath>

#include "core/losses/policy.h"

namespace drsl {

template <class T>
struct BatchHardTriplet {
  static constexpr Measure kMeasure = Measure::kDistance;
  static constexpr Way kWay = Way::kEach;
  static constexpr AngularAt kAngular = AngularAt::kNowhere;
  static constexpr bool own_is_positive = false;

  static DRSL_HD int64_t weight(int64_t positives, int64_t negatives) {
    return positives > 0 && negatives > 0;
  }

  T margin;
  bool soft;

  DRSL_HD Slope<T> of(T x) const {
    if (!soft) {
      const T over = margin + x;
      return {over > T(0) ? over : T(0), T(over > T(0))};
    }
    const T small = std::exp(x > T(0) ? -x : x);  // at most 1
    return {(x > T(0) ? x : T(0)) + std::log1p(small), (x > T(0) ? T(1) : small) / (T(1) + small)};
  }

  template <class Row>
  DRSL_HD void operator()(Row& row) const {
    row.hardest([&](T positive, T negative) { return of(positive - negative); });
  }

  DRSL_HD T total(T loss, T, T) const { return loss; }
};

}  // namespace drsl
