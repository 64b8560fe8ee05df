#pragma once
// Rank & Sort, AP and aLRP on scores (losses.md): from the sums that a positive i sees to its error,
// and how much of it is handed to each that caused it. Everything is a number of one positive.
#include "core/host_device.h"

namespace drsl {

// i's error; what i itself is charged with; and what a cause j is charged with, per H(x_ij).
template <class T>
struct Share {
  T error;
  T own;
  T weight;
};

// Rank & Sort, ranking: ℓ_R = N_FP / rank, to negatives in the shares H(x_ij) / rank.
template <class T>
DRSL_HD Share<T> ranking_share(T false_positives, T rank_positive) {
  constexpr T kNone = T(1e-10);
  const T rank = rank_positive + false_positives, error = false_positives / rank;
  const bool update = false_positives > kNone;
  return {error, update ? error : T(0), update ? 1 / rank : T(0)};
}

// Rank & Sort, sorting: with E = Σ_{j∈P} H(x_ij)(1 − t_j) and, over those with t_j < t_i only,
// M = Σ H and E_M = Σ H (1 − t_j),
//
//   ℓ_S − ℓ_S* = E/rank⁺ − (E − E_M)/(rank⁺ − M) = (rank⁺ E_M − E M) / (rank⁺ (rank⁺ − M))
//
// to the mis-sorted positives in the shares H(x_ij) / M.
template <class T>
DRSL_HD Share<T> sorting_share(T rank_positive, T error, T missorted, T missorted_error) {
  constexpr T kNone = T(1e-10);
  const T excess = (rank_positive * missorted_error - error * missorted) /
                   (rank_positive * (rank_positive - missorted));
  const bool update = missorted > kNone;
  return {excess, update ? excess : T(0), update ? excess / missorted : T(0)};
}

// AP: error N_FP / rank to negatives in the shares H(x_ij) / N_FP. Interpolated, precision does not
// fall towards lower ranks: `least` is the smallest error among the positives from the lowest to i.
template <class T>
DRSL_HD Share<T> ap_share(T false_positives, T rank_positive, T least) {
  const T rank = rank_positive + false_positives, error = false_positives / rank;
  if (least < error) return {least, least, least / false_positives};
  return {error, error, 1 / rank};
}

// aLRP: the error is AP's; the update also holds the regression losses of the positives ahead,
// Σ_{j∈P, j≠i} H(x_ij) r_j.
template <class T>
DRSL_HD Share<T> alrp_share(T false_positives, T rank_positive, T regression) {
  constexpr T kNone = T(1e-5);
  const T rank = rank_positive + false_positives;
  const T own = (regression + false_positives) / rank;
  const bool update = false_positives > kNone;
  return {false_positives / rank, update ? own : T(0), update ? own / false_positives : T(0)};
}

}  // namespace drsl
