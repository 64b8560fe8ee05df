#pragma once
// One row of scores and targets on a CPU: who is positive, what the positives see, and the gradient.
//
//   find      one pass over the row: positives, and whether all that counts is a number
//   count     a second: every negative to its piece (core/scores/edges.h)
//   spread    a third: the weights of the positives to the gradient of the negatives
//
// Between passes all work is on the n positives, sorted by score, in double.
#include <cstdint>
#include <vector>

#include "core/radix_order.h"
#include "core/scores/edges.h"
#include "core/scores/finder.h"
#include "core/scores/pieces.h"
#include "cpu/memory.h"

namespace drsl {

template <class T>
class ScoreRow {
 public:
  ScoreRow(int64_t columns, double delta);

  // Takes up row `scores`, `targets` [columns]. Afterwards n() and usable() hold; the rest of the
  // interface is for rows with n() > 0 that are usable.
  void assign(const T* scores, const T* targets);

  int n() const { return n_; }
  bool usable() const { return usable_; }
  double delta() const { return delta_; }
  double slope() const { return slope_; }
  double own() const { return delta_ == 0 ? 1.0 : 0.5; }  // H(0)
  const double* score() const { return score_.data(); }   // [n] ascending, as all that follows
  const double* target() const { return target_.data(); }
  const int32_t* column() const { return column_.data(); }
  // the place of positive i among the positives from left to right
  const int32_t* from_left() const { return order_.data(); }

  // N_FP(i) = Σ_{j∈N} H(x_ij)
  void sum_negatives(double* sum);
  // Σ_{j∈P} a_j H(x_ij), i itself counted as H(0); a = nullptr: 1
  void sum_positives(const double* a, double* sum);

  // gradient [columns]: Σ_i weight[i] H(x_ij) for negatives j, own[i] for positives, 0 for others
  void write_gradient(const double* weight, const double* own, T* gradient);
  // 0 but for the positives
  void write_positives(const double* own, T* gradient) const;
  // NaN for all that take part
  void write_nan(T* gradient) const;
  void write_zeros(T* gradient) const;

 private:
  void find_positives();

  int64_t columns_;
  double delta_, slope_;
  const T* scores_ = nullptr;
  const T* targets_ = nullptr;
  int n_ = 0;
  bool usable_ = true;

  Buffer<int32_t> piece_;  // [columns]; before that the positives, task by task
  std::vector<T> found_;
  std::vector<int32_t> from_left_, column_;
  std::vector<int> order_;
  std::vector<double> score_, target_;
  RadixOrder<T> sort_;
  Edges<T> edges_;
  PieceFinder<T> finder_;
  std::vector<Piece> pieces_, work_;
  std::vector<Line> lines_;
  std::vector<T> base_, incline_, origin_;
};

}  // namespace drsl
