#pragma once
// DRSL (losses.md): rank the positives of a query ahead of its negatives by distance, sort them by
// angle. With x_ij = d_i − d_j:
//
//   ranking error  ℓ_R(i) = N_FP(i) / rank(i)                      rank(i) = rank⁺(i) + N_FP(i)
//   sorting error  ℓ_S(i) = Σ_{j∈P} H(x_ij)(1 − y_j) / rank⁺(i)
//   its target     ℓ_S*(i): the same over those j with y_j ≥ y_i
//   angle error    ℓ_A(i) = ℓ_S(i) as a function of the angles
//
// Ranks have no derivative. The error of i is handed to the entries that caused it, in the shares
//
//   R_ij = H(x_ij) / rank(i)                                     for negatives j
//   S_ij = (ℓ_S − ℓ_S*)(i) · H(x_ij)[y_j < y_i] / M(i)           for positives j
//
// and what a cause is given, i is charged with: over one query, ∂/∂d sums to 0.
//
// This is the whole loss. The row that it is handed forms the sums: by SIMD lanes or a thread
// block, directly or sorted, as the engine sees fit. The members that a row has are those used
// below, and no others.
#include "core/losses/policy.h"

namespace drsl {

template <class T, class Step>
struct Drsl : CountsQueries {
  static constexpr Measure kMeasure = Measure::kDistance;
  static constexpr Way kWay = Way::kRanks;
  static constexpr AngularAt kAngular = AngularAt::kPositives;
  static constexpr bool own_is_positive = false;  // the own copy is left out

  Step step;
  T rank_weight, sort_weight, angle_weight;

  template <class Row>
  DRSL_HD void operator()(Row& row) const {
    const T mean = T(1) / T(row.count());  // over the positives
    row.sum_negatives(step);               // false_positives[i] = Σ_{j∈N} H(x_ij)
    row.sum_positives(step);               // the five sums of PositiveSums, seen from i

    row.for_each_positive([&](auto i) {
      const T rank = row.sums.rank[i] + row.false_positives[i];
      const T ranking = row.false_positives[i] / rank;
      const T angle = row.sums.error[i] / row.sums.rank[i];
      const T target = row.sums.target_error[i] / row.sums.target_rank[i];
      const T sorting = row.sums.missorted[i] > T(0) ? angle - target : T(0);
      row.add_terms(i, mean * ranking, mean * sorting, mean * angle);  // unweighted

      row.grad_distance[i] = mean * (rank_weight * ranking + sort_weight * sorting);
      row.negative_weight[i] = mean * rank_weight / rank;
      row.missorted_weight[i] =
          sorting > T(0) ? mean * sort_weight * sorting / row.sums.missorted[i] : T(0);
      row.angle_weight[i] = mean * angle_weight / row.sums.rank[i];
    });

    row.spread_missorted(step);  // grad_distance[j] −= Σ_i missorted_weight[i] H(x_ij) [y_j < y_i]
    row.spread_angles(step);     // grad_angle[j]     = −Σ_i angle_weight[i] H(x_ij)
    row.spread_negatives(step);  // ∂/∂d_j            = −Σ_i negative_weight[i] H(x_ij), j∈N
  }

  DRSL_HD T total(T ranking, T sorting, T angle) const {
    return rank_weight * ranking + sort_weight * sorting + angle_weight * angle;
  }
};

}  // namespace drsl
