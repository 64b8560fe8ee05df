#pragma once
// Smooth-AP: average precision with ranks counted by sigmoids (losses.md). By cosines, so that a row's
// entries are v = 1 − cos, and x_ij = v_i − v_j as everywhere:
//
//   rank⁺(i) = 1 + Σ_{j∈P, j≠i} σ(x_ij/τ)      N_FP(i) = Σ_{j∈N} σ(x_ij/τ)      rank = rank⁺ + N_FP
//   loss = 1 − (1/n) Σ_i rank⁺(i) / rank(i) = (1/n) Σ_i N_FP(i) / rank(i)
//
// A true gradient: with α_i = rank⁺(i) / rank(i)², β_i = N_FP(i) / rank(i)² and σ' even,
//
//   n ∂/∂v_i = α_i Σ_{j∈N} σ'(x_ij) + Σ_{j∈P} (β_j − β_i) σ'(x_ij)               i∈P
//   n ∂/∂v_j = −Σ_{i∈P} α_i σ'(x_ij)                                             j∈N
#include "core/losses/policy.h"
#include "core/sigmoid.h"

namespace drsl {

template <class T>
struct SmoothAP : CountsQueries {
  static constexpr Measure kMeasure = Measure::kCosine;
  static constexpr Way kWay = Way::kSmoothRanks;
  static constexpr AngularAt kAngular = AngularAt::kEverywhere;

  Sigmoid<T> step;
  bool own_is_positive;  // the query's own copy counts as one of the positives

  template <class Row>
  DRSL_HD void operator()(Row& row) const {
    const T mean = T(1) / T(row.count());
    row.sum_negatives(step);  // false_positives[i], and steepness[i] = Σ_{j∈N} σ'(x_ij)
    row.sum_ranks(step);      // sums.rank[i] = rank⁺(i)
    row.for_each_positive([&](auto i) {
      const T ahead = row.false_positives[i], rank = row.sums.rank[i] + ahead;
      row.add_terms(i, mean * (ahead / rank), T(0), T(0));
      row.negative_weight[i] = mean * (row.sums.rank[i] / rank / rank);
      row.rank_weight[i] = mean * (ahead / rank / rank);
      row.grad_distance[i] = row.negative_weight[i] * row.steepness[i];
    });
    row.spread_ranks(step);   // grad_distance[i] += Σ_j (rank_weight[j] − rank_weight[i]) σ'(x_ij)
    row.spread_slopes(step);  // ∂/∂v_j = −Σ_i negative_weight[i] σ'(x_ij), j∈N
  }

  DRSL_HD T total(T loss, T, T) const { return loss; }
};

}  // namespace drsl
