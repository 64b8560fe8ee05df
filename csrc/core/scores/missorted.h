#pragma once
// Rank & Sort's sums over positives that are mis-sorted, in O(n log n): ahead by score,
// behind by target.
//
//   M(i) = Σ_j H(s_j − s_i) [t_j < t_i]          E_M(i) the same of H (1 − t_j)
//
// Positives come by score, ascending, so H is a window of places; they enter a tree of prefix sums
// in the order of their targets. Differences of prefixes cancel, so scores are measured from the
// first of their cluster: no ramp reaches from one cluster into another.
#include <cstdint>
#include <vector>

#include "core/prefix_tree.h"
#include "core/radix_order.h"
#include "core/scores/edges.h"

namespace drsl {

class MissortedSums {
 public:
  // s ascending, t their targets; both must live on
  void assign(int n, const double* s, const double* t, double delta, double slope) {
    n_ = n;
    t_ = t;
    hard_ = delta == 0;
    slope_ = slope;
    place_.resize(size_t(n));
    for (std::vector<int32_t>* v : {&low_, &high_, &by_target_}) v->resize(size_t(n));
    double first = n > 0 ? s[0] : 0;
    for (int i = 0, low = 0, high = 0; i < n; ++i) {
      if (i > 0 && s[i] - s[i - 1] > 2 * delta) first = s[i];
      place_[size_t(i)] = s[i] - first;
      while (low < n && s[low] < s[i] - delta) ++low;
      // δ = 0: from the first that is equal past the last
      const double end = end_of_ramp(s[i], delta);
      while (high < n && (hard_ ? s[high] <= end : s[high] < end)) ++high;
      low_[size_t(i)] = low;
      high_[size_t(i)] = high;
    }
    order_(n, t, by_target_.data());
  }

  DRSL_HD void sums(double* missorted, double* missorted_error) {
    tree_.reset(n_);
    double total[4] = {};
    for_each_target([&](const int* tied, int count) __attribute__((always_inline)) {
      for (int k = 0; k < count; ++k) {
        const int i = tied[k];
        double low[4], high[4];
        tree_.prefix(unsigned(low_[i]), low);
        // δ = 0: all from the first equal one on
        tree_.prefix(unsigned(hard_ ? low_[i] : high_[i]), high);
        missorted[i] = ahead(i, total[0], low, high);
        missorted_error[i] = ahead(i, total[2], low + 2, high + 2);
      }
      for (int k = 0; k < count; ++k) {
        const int j = tied[k];
        const double e = 1 - t_[j], moments[4] = {1, place_[j], e, e * place_[j]};
        tree_.add(unsigned(j), moments);
        for (int m = 0; m < 4; ++m) total[m] += moments[m];
      }
    });
  }

  // charge[j] = Σ_i weight[i] H(s_j − s_i) [t_j < t_i]
  DRSL_HD void spread(const double* weight, double* charge) {
    weights_.reset(n_);
    for_each_target_descending([&](const int* tied, int count) __attribute__((always_inline)) {
      for (int k = 0; k < count; ++k) {
        const int j = tied[k];
        double low[2], high[2];
        weights_.prefix(unsigned(hard_ ? high_[j] : low_[j]), low);
        weights_.prefix(unsigned(high_[j]), high);
        const double on_ramp = high[0] - low[0], distance = high[1] - low[1];
        charge[j] = low[0] + on_ramp * (0.5 + place_[j] * slope_) - distance * slope_;
      }
      for (int k = 0; k < count; ++k) {
        const double w = weight[tied[k]], moments[2] = {w, w * place_[tied[k]]};
        weights_.add(unsigned(tied[k]), moments);
      }
    });
  }

 private:
  // Σ a_j H(s_j − s_i) from the sums of a and a·s in total and before the window of i
  DRSL_HD double ahead(int i, double total, const double* low, const double* high) const {
    const double on_ramp = high[0] - low[0], distance = high[1] - low[1];
    return total - high[0] + on_ramp * (0.5 - place_[i] * slope_) + distance * slope_;
  }

  // f(places, count) for each group of equal targets
  template <class F>
  DRSL_HD void for_each_target(F f) {
    for (int begin = 0, end; begin < n_; begin = end) {
      end = begin + 1;
      while (end < n_ && t_[by_target_[end]] == t_[by_target_[begin]]) ++end;
      f(by_target_.data() + begin, end - begin);
    }
  }
  template <class F>
  DRSL_HD void for_each_target_descending(F f) {
    for (int end = n_, begin; end > 0; end = begin) {
      begin = end - 1;
      while (begin > 0 && t_[by_target_[begin - 1]] == t_[by_target_[end - 1]]) --begin;
      f(by_target_.data() + begin, end - begin);
    }
  }

  int n_ = 0;
  const double* t_ = nullptr;
  bool hard_ = false;
  double slope_ = 0;
  std::vector<double> place_;
  std::vector<int32_t> low_, high_, by_target_;  // H is 0 before low, 1 from high on
  PrefixTree<double, 4> tree_;
  PrefixTree<double, 2> weights_;
  RadixOrder<double> order_;
};

}  // namespace drsl
