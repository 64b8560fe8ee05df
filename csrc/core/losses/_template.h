#pragma once
// Copy this file to begin a loss of your own (docs/adding_a_loss.md goes through it step by step). As it
// stands it is a contrastive loss, compiled and tested (tests/test_template.py) but not offered:
//
//   positive pair   d²                    negative pair   max(0, m − d)²
//
// averaged over the pairs of a query. Begin with the equation, and say what is called what.
#include "core/losses/policy.h"

namespace drsl {

template <class T>
struct Template {
  // What rows hold: distances, or 1 − cos.
  static constexpr Measure kMeasure = Measure::kDistance;
  // Which sums there are to ask for: see the rows named in csrc/README.md.
  static constexpr Way kWay = Way::kEach;
  // Where ∂/∂cos is not 0. kPositives goes with grad_angle of Way::kRanks, kEverywhere with kCosine.
  static constexpr AngularAt kAngular = AngularAt::kNowhere;
  // Whether the query's own copy is one of its positives, or left out.
  static constexpr bool own_is_positive = false;

  // What a query weighs in a mean over queries; one that weighs 0 is not looked at. Most losses derive
  // from CountsQueries instead: 1 if it has a positive.
  static DRSL_HD int64_t weight(int64_t positives, int64_t negatives) {
    return positives + negatives;
  }

  // Parameters, in the type that is computed in.
  T margin;

  // A row in, its loss and its derivatives left in the row. The row is a CPU thread's or a block's of a
  // GPU; Distances come as numbers or SIMD vectors V. So: no branches on V but ?:, and no
  // functions but those of core/elementary.h.
  template <class Row>
  DRSL_HD void operator()(Row& row) const {
    const T mean = T(1) / T(row.entries());
    row.map_pairs([&](auto d) { return Slope<decltype(d)>{mean * d * d, 2 * mean * d}; },
                  [&](auto d) {
                    using V = decltype(d);
                    const V inside = margin - d > V{} ? margin - d : V{};  // 0 for d = ∞: left out
                    return Slope<V>{mean * inside * inside, -2 * mean * inside};
                  });
  }

  // The terms → the loss. map_pairs fills the first two.
  DRSL_HD T total(T positive, T negative, T) const { return positive + negative; }
};

}  // namespace drsl
