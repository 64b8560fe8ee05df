#pragma once
// The sums of positives.h for many positives, in O(n log n) a query. The positives come sorted by
// distance, so
//
//   H(d_i − d_j) = 1 for j < lo(i),   ½ + (d_i − d_j)/2δ for lo(i) ≤ j < hi(i),   0 for j ≥ hi(i)
//
// and a sum over j is a prefix sum and a window, whatever it sums: Σ a_j H(d_i − d_j) needs the
// prefix sums of a_j and a_j d_j. The condition y_j ≥ y_i adds a second dimension: the positives
// enter a tree of prefix sums in the order of their angles. A window is a difference of prefixes,
// so distances are replaced by places (close_gaps).
#include <algorithm>
#include <vector>

#include "core/places.h"
#include "core/positives.h"
#include "core/prefix_tree.h"
#include "core/radix_order.h"
#include "core/window.h"

namespace drsl {

// Ascending d → places: d from the smallest on, with gaps that no window reaches across closed to 2δ.
// Within a window differences stay what they are, and prefix sums stay small numbers.
template <class T>
DRSL_HD void close_gaps(int n, const T* d, T half_width, std::vector<double>& place) {
  const double widest = 2 * double(half_width);
  place.assign(size_t(n), 0);
  for (int i = 1; i < n; ++i)
    place[i] = place[i - 1] + std::min(double(d[i]) - double(d[i - 1]), widest);
}

template <class T, class Step>
class SortedPositives {
 public:
  // d ascending, `sorted` the same. Forgets what it held; scratch is kept for the next row.
  DRSL_HD void assign(int n, const T* d, const T* y, Step step, const SortedNumbers<T>& sorted) {
    n_ = n;
    d_ = d;
    y_ = y;
    step_ = step;
    for (std::vector<int32_t>* v : {&lo_, &hi_, &first_equal_, &by_angle_}) v->resize(size_t(n));
    // δ = 0: all that are not farther
    sorted.template places<true>(n, d, -step.half_width, lo_.data());
    sorted.template places<is_hard<Step>>(n, d, step.half_width, hi_.data());
    for (int i = 0; i < n; ++i) {
      hi_[i] = hi_[i] < lo_[i] ? lo_[i] : hi_[i];
      first_equal_[i] = i > 0 && d[i] == d[i - 1] ? first_equal_[i - 1] : i;
    }
    close_gaps(n, d, step.half_width, place_);
    order_(n, y, by_angle_.data());
  }

  DRSL_HD void sums(PositiveSums<T*> out) {
    prefix_.assign(size_t(n_) + 1, {});
    for (int j = 0; j < n_; ++j)
      prefix_[j + 1] = prefix_[j] + Moments(1, place(j), 1 - double(y_[j]));
    const double own = 1 - double(step_(T(0)));  // i itself counts as 1, the window says H(0)
    for (int i = 0; i < n_; ++i) {
      const Moments all = window(i, prefix_[lo_[i]].v, prefix_[hi_[i]].v);
      out.rank[i] = T(all.v[0] + own);
      out.error[i] = T(all.v[2] + own * (1 - double(y_[i])));
    }
    tree_.reset(n_);
    for_each_angle_descending([&](const int* tied, int count) __attribute__((always_inline)) {
      for (int k = 0; k < count; ++k) {
        const T p = T(place(tied[k])), e = 1 - y_[tied[k]], moments[4] = {1, p, e, p * e};
        tree_.add(unsigned(tied[k]), moments);
      }
      for (int k = 0; k < count; ++k) {
        const int i = tied[k];
        T lo[4], hi[4];
        tree_.prefix(unsigned(lo_[i]), lo);
        tree_.prefix(unsigned(hi_[i]), hi);
        const Moments ahead = window(i, lo, hi);
        out.target_rank[i] = T(ahead.v[0] + own);
        out.target_error[i] = T(ahead.v[2] + own * (1 - double(y_[i])));
      }
    });
    for (int i = 0; i < n_; ++i)
      out.missorted[i] = missorted_mass(out.rank[i] - out.target_rank[i], out.rank[i]);
  }

  // charge[j] = Σ_i weight[i] H(x_ij) [y_j < y_i]
  DRSL_HD void spread_missorted(const T* weight, T* charge) {
    weights_.reset(n_);
    double total[2] = {0, 0};
    for_each_angle_descending([&](const int* tied, int count) __attribute__((always_inline)) {
      for (int k = 0; k < count; ++k) {
        const int j = tied[k];
        T lo[2], hi[2];
        weights_.prefix(unsigned(is_hard<Step> ? first_equal_[j] : lo_[j]), lo);
        weights_.prefix(unsigned(is_hard<Step> ? first_equal_[j] : hi_[j]), hi);
        charge[j] = T(above(j, total, lo, hi));
      }
      for (int k = 0; k < count; ++k) {
        const T w = weight[tied[k]], moments[2] = {w, w * T(place(tied[k]))};
        weights_.add(unsigned(tied[k]), moments);
        for (int m = 0; m < 2; ++m) total[m] += double(moments[m]);
      }
    });
  }

  // pull[j] = Σ_i weight[i] H(x_ij), i = j counted as 1
  DRSL_HD void spread_angles(const T* weight, T* pull) {
    prefix_.assign(size_t(n_) + 1, {});
    for (int i = 0; i < n_; ++i) prefix_[i + 1] = prefix_[i] + Moments(weight[i], place(i), 0);
    const double own = 1 - double(step_(T(0)));
    for (int j = 0; j < n_; ++j) {
      const int lo = is_hard<Step> ? first_equal_[j] : lo_[j], hi = is_hard<Step> ? lo : hi_[j];
      pull[j] = T(above(j, prefix_[n_].v, prefix_[lo].v, prefix_[hi].v) + double(weight[j]) * own);
    }
  }

 private:
  DRSL_HD double place(int i) const { return place_[i]; }

  // a, a·d, a·(1 − y), a·d·(1 − y)
  struct Moments {
    double v[4];
    DRSL_HD Moments() : v{} {}
    DRSL_HD Moments(double a, double d, double e) : v{a, a * d, a * e, a * d * e} {}
    DRSL_HD Moments operator+(const Moments& o) const {
      Moments r;
      for (int w = 0; w < 4; ++w) r.v[w] = v[w] + o.v[w];
      return r;
    }
  };

  // Σ_j a_j H(d_i − d_j) and Σ_j a_j (1 − y_j) H(d_i − d_j), from the prefixes at lo(i) and hi(i).
  template <class N>
  DRSL_HD Moments window(int i, const N* lo, const N* hi) const {
    Moments r;
    for (int w : {0, 2}) r.v[w] = drsl::window(place(i), double(step_.slope), lo + w, hi + w);
    return r;
  }

  // Σ_i a_i H(d_i − d_j) from (Σ a, Σ a·d) in total and before lo(j), hi(j): all above the window
  // of j, and the window.
  template <class N>
  DRSL_HD double above(int j, const double* total, const N* lo, const N* hi) const {
    const double s = double(step_.slope);
    return total[0] - double(hi[0]) + double(hi[0] - lo[0]) * (0.5 - place(j) * s) +
           double(hi[1] - lo[1]) * s;
  }

  // f(places, count) for each group of equal angles, largest angle first.
  template <class F>
  DRSL_HD void for_each_angle_descending(F f) {
    for (int end = n_; end > 0;) {
      int begin = end - 1;
      while (begin > 0 && y_[by_angle_[begin - 1]] == y_[by_angle_[end - 1]]) --begin;
      f(by_angle_.data() + begin, end - begin);
      end = begin;
    }
  }

  int n_ = 0;
  const T* d_ = nullptr;
  const T* y_ = nullptr;
  Step step_{T(0)};
  std::vector<double> place_;  // close_gaps
  std::vector<int32_t> lo_, hi_, first_equal_, by_angle_;
  std::vector<Moments> prefix_;
  PrefixTree<T, 4> tree_;
  PrefixTree<T, 2> weights_;
  RadixOrder<T> order_;
};

}  // namespace drsl
