#pragma once
// The losses on scores: one row of them, on a CPU. What is computed is in core/scores/shares.h; here
// the sums are asked for, in order. Gradients are those of the mean over the positives. A row
// without positives has loss and gradient 0, one with a NaN or +∞ has NaN.
#include <vector>

#include "core/scores/missorted.h"
#include "core/scores/shares.h"
#include "cpu/score_row.h"

namespace drsl {

// A row's positives in double, by score: kept between rows. No gradient where the pointer is null.
template <class T>
struct ScoreLosses {
  ScoreRow<T> row;
  std::vector<double> false_positives, rank, error, missorted, missorted_error, weight, own, charge;
  MissortedSums sorted;

  ScoreLosses(int64_t columns, double delta) : row(columns, delta) {}

  struct RankSort {
    double ranking, sorting;
  };
  // `gradient` is that of the ranking error alone if `sorting_gradient` is given, else of both
  RankSort rank_sort(const T* scores, const T* targets, T* gradient, T* sorting_gradient);
  double ap(const T* scores, const T* targets, bool interpolated, T* gradient);
  // `regression` of positive i is at its place among the positives, or at its column if `columns`;
  // so are `ranks`. `order`: where the positives are found, by score; the rest is left alone.
  double alrp(const T* scores, const T* targets, const T* regression, int64_t regressions,
              bool columns, T* ranks, int64_t* order, T* gradient);

 private:
  void resize();
  double without_loss(T* gradient) const;
};

}  // namespace drsl
