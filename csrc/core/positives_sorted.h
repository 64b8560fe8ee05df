#pragma once
// The sums of positives.h for many positives, in O(n log n) a query. The positives come sorted by distance, so
//
//   H(d_i − d_j) = 1 for j < lo(i),   ½ + (d_i − d_j)/2δ for lo(i) ≤ j < hi(i),   0 for j ≥ hi(i)
//
// and a sum over j is a prefix sum and a window, whatever it sums: Σ a_j H(d_i − d_j) needs the prefix sums of
// a_j and a_j d_j. The condition y_j ≥ y_i adds a second dimension: the positives enter a tree of prefix sums in
// the order of their angles. Sums are formed in double: a window is a difference of prefixes.
#include <vector>

#include "core/positives.h"
#include "core/prefix_tree.h"
#include "core/radix_order.h"

namespace drsl {

template <class T, class Step>
class SortedPositives {
 public:
  // d ascending. Forgets what it held; scratch is kept for the next row.
  void assign(int n, const T* d, const T* y, Step step) {
    n_ = n;
    d_ = d;
    y_ = y;
    step_ = step;
    lo_.resize(size_t(n));
    hi_.resize(size_t(n));
    first_equal_.resize(size_t(n));
    const T width = step.half_width;
    for (int i = 0, lo = 0, hi = 0; i < n; ++i) {
      if constexpr (is_hard<Step>) {
        while (hi < n && d[hi] <= d[i]) ++hi;
        lo = hi;
      } else {
        while (lo < n && d[lo] <= d[i] - width) ++lo;
        while (hi < n && d[hi] < d[i] + width) ++hi;
      }
      lo_[i] = lo;
      hi_[i] = hi < lo ? lo : hi;
      first_equal_[i] = i > 0 && d[i] == d[i - 1] ? first_equal_[i - 1] : i;
    }
    by_angle_.resize(size_t(n));
    order_(n, y, by_angle_.data());
  }

  void sums(PositiveSums<T*> out) {
    prefix_.assign(size_t(n_) + 1, {});
    for (int j = 0; j < n_; ++j) prefix_[j + 1] = prefix_[j] + Moments(1, place(j), 1 - double(y_[j]));
    tree_.reset(n_);
    for_each_angle_descending([&](const int* tied, int count) {
      for (int k = 0; k < count; ++k) {
        const int j = tied[k];
        tree_.add(j, Moments(1, place(j), 1 - double(y_[j])).v);
      }
      for (int k = 0; k < count; ++k) {
        const int i = tied[k];
        const double own = 1 - double(step_(T(0)));  // i itself counts as 1, the window says H(0)
        const double own_error = own * (1 - double(y_[i]));
        const Moments all = window(i, prefix_[lo_[i]], prefix_[hi_[i]]);
        const Moments ahead = window(i, Moments(tree_.prefix(lo_[i])), Moments(tree_.prefix(hi_[i])));
        const double missorted = all.v[0] - ahead.v[0];
        out.rank[i] = T(all.v[0] + own);
        out.error[i] = T(all.v[2] + own_error);
        out.target_rank[i] = T(ahead.v[0] + own);
        out.target_error[i] = T(ahead.v[2] + own_error);
        out.missorted[i] = missorted > kRounding * all.v[0] ? T(missorted) : T(0);
      }
    });
  }

  void spread_missorted(const T* weight, T* charge) {
    tree_.reset(n_);
    for_each_angle_descending([&](const int* tied, int count) {
      const Moments total(tree_.prefix(n_));
      for (int k = 0; k < count; ++k) charge[tied[k]] += T(above(tied[k], total, tree_));
      for (int k = 0; k < count; ++k)
        if (weight[tied[k]] != T(0)) tree_.add(tied[k], Moments(weight[tied[k]], place(tied[k]), 0).v);
    });
  }

  void spread_angles(const T* weight, T* pull) {
    prefix_.assign(size_t(n_) + 1, {});
    for (int i = 0; i < n_; ++i) prefix_[i + 1] = prefix_[i] + Moments(weight[i], place(i), 0);
    struct {
      const std::vector<Moments>& p;
      const Moments& prefix(int t) const { return p[size_t(t)]; }
    } const sums{prefix_};
    for (int j = 0; j < n_; ++j)
      pull[j] += T(above(j, prefix_[n_], sums) + double(weight[j]) * (1 - double(step_(T(0)))));
  }

 private:
  static constexpr double kRounding = 1e-12;  // what is left of a difference of equal sums of up to 10⁵ terms

  double place(int i) const { return double(d_[i]) - double(d_[0]); }  // small numbers keep their digits

  // a, a·d, a·(1 − y), a·d·(1 − y)
  struct Moments {
    double v[4];
    Moments() : v{} {}
    Moments(double a, double d, double e) : v{a, a * d, a * e, a * d * e} {}
    explicit Moments(const PrefixTree<4>::Sum& s) : v{s.v[0], s.v[1], s.v[2], s.v[3]} {}
    Moments operator+(const Moments& o) const {
      Moments r;
      for (int w = 0; w < 4; ++w) r.v[w] = v[w] + o.v[w];
      return r;
    }
  };

  // Σ_j a_j H(d_i − d_j) and Σ_j a_j (1 − y_j) H(d_i − d_j), from the prefixes at lo(i) and hi(i).
  Moments window(int i, const Moments& lo, const Moments& hi) const {
    const double s = step_.slope, at = 0.5 + place(i) * s;
    Moments r;
    for (int w : {0, 2}) r.v[w] = lo.v[w] + (hi.v[w] - lo.v[w]) * at - (hi.v[w + 1] - lo.v[w + 1]) * s;
    return r;
  }

  // Σ_i a_i H(d_i − d_j): all above the window of j, and the window.
  template <class Sums>
  double above(int j, const Moments& total, const Sums& sums) const {
    if constexpr (is_hard<Step>) return total.v[0] - sums.prefix(first_equal_[j]).v[0];
    const auto lo = sums.prefix(lo_[j]), hi = sums.prefix(hi_[j]);
    const double s = step_.slope;
    return total.v[0] - hi.v[0] + (hi.v[0] - lo.v[0]) * (0.5 - place(j) * s) + (hi.v[1] - lo.v[1]) * s;
  }

  // f(places, count) for each group of equal angles, largest angle first.
  template <class F>
  void for_each_angle_descending(F f) {
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
  std::vector<int> lo_, hi_, first_equal_, by_angle_;
  std::vector<Moments> prefix_;
  PrefixTree<4> tree_;
  RadixOrder<T> order_;
};

}  // namespace drsl
