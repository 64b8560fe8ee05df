#pragma once
// A row of the Gram matrix → the query's loss → a row of coefficients A = a − c,
// in place (docs/design.md).
#include <cstdint>
#include <limits>

#include "core/losses.h"
#include "cpu/near.h"
#include "cpu/row_each.h"
#include "cpu/row_smooth.h"
#include "cpu/row_sorted.h"
#include "engine/selection.h"

namespace drsl {

// Queries × gallery of one set, and where a row's results go.
template <class T>
struct Problem {
  const Rows<T>* x;
  const Rows<T>* r;  // the same as x where the gallery is the batch
  const Selection* selection;
  std::vector<int32_t> bad_columns;
  const Selection::Counts* counts;  // [B]
  const double* weight;             // [B] what each query's gradient is multiplied by
  int64_t leading;                  // of coefficient rows
  bool normalize, gradient;

  double* loss;    // [B]
  double* terms;   // [B, 3]
  double* radial;  // [B] e_q of design.md
};

// What a thread needs of its own. Sums over queries are kept here too, to be added up in
// a fixed order.
template <class T>
struct Worker {
  Row<T> row;
  Buffer<T> inverse, cosine;  // [leading]
  std::vector<double> f;      // [G] f_k of design.md

  Worker(int64_t leading, int64_t columns, int64_t most_positives, bool smooth, bool by_cosine)
      : row(leading, most_positives, smooth),
        inverse(leading),
        cosine(by_cosine ? leading : 0),
        f(size_t(columns)) {}
};

template <class T, class Policy>
struct GramRow {
  const Problem<T>& p;
  const Policy& policy;
  Row<T>& row;
  double* f;   // [G] of this task
  T* inverse;  // [leading] 1 / d, 0 where the derivative of d is 0 or nobody asks
  T* cosine;   // [leading] if the policy goes by cosines

  static constexpr T kInfinity = std::numeric_limits<T>::infinity();

  // g [leading]: Gram row in, coefficients out.   near [leading / 64]: flags of near pairs out.
  DRSL_INLINE void operator()(int64_t q, T* g, uint64_t* near) const {
    const int64_t words = p.leading / kChunk;
    for (int64_t w = 0; w < words; ++w) near[w] = 0;
    p.radial[q] = 0;
    double* terms = p.terms + q * 3;
    terms[0] = terms[1] = terms[2] = p.loss[q] = 0;
    const Selection::Counts counts = p.counts[q];
    if (policy.weight(counts.positives, counts.others) == 0) return fill(g, T(0));
    row.n = p.selection->positives(q, row.column.data());
    if (is_bad(q) || !load(q, g, near)) return give_up(q, g, near);
    row.begin(g);
    if constexpr (Policy::kWay == Way::kEach) {
      EachRow<T> each(row, p.leading, counts.others);
      policy(each);
    } else {
      row.prepare(!kSmooth);
      policy(row);
    }
    for (int t = 0; t < 3; ++t) terms[t] = row.terms[t];
    p.loss[q] = policy.total(T(terms[0]), T(terms[1]), T(terms[2]));
    if (!p.gradient) return;
    if constexpr (kByCosine)
      coefficients_by_cosine(q, g, near);
    else
      coefficients(q, g, near);
  }

 private:
  static constexpr bool kByCosine = Policy::kMeasure == Measure::kCosine;
  static constexpr bool kSmooth = Policy::kWay == Way::kSmoothRanks;
  static constexpr bool kAngles = Policy::kAngular == AngularAt::kPositives;

  DRSL_INLINE void fill(T* g, T value) const {
    for (int64_t k = 0; k < p.leading; ++k) g[k] = value;
  }

  DRSL_INLINE bool is_bad(int64_t q) const {
    if (p.x->bad[size_t(q)]) return true;
    for (const int32_t k : p.bad_columns)
      if (p.selection->left(q, k)) return true;
    return false;
  }

  // The loss is NaN, and so is the gradient of every entry that the query compares with.
  DRSL_INLINE void give_up(int64_t q, T* g, uint64_t* near) const {
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    p.loss[q] = p.terms[q * 3] = p.terms[q * 3 + 1] = p.terms[q * 3 + 2] = nan;
    for (int64_t w = 0; w < p.leading / kChunk; ++w) near[w] = 0;
    fill(g, T(0));
    for (int64_t k = 0; k < p.r->count; ++k)
      if (p.selection->left(q, k)) g[k] = T(nan);
  }

  // Distances of all columns, or 1 − cos; angles of the positives. False if one of them overflows.
  DRSL_INLINE bool load(int64_t q, T* g, uint64_t* near) const {
    const Rows<T>& r = *p.r;
    for (const int32_t j : r.duplicates) g[j] = g[r.representative[size_t(j)]];
    if constexpr (kAngles)
      for (size_t i = 0; i < size_t(row.n); ++i)
        row.cosine[i] = double(cosine_of(q, row.column[i], g[row.column[i]]));
    if constexpr (kByCosine) cosines(q, g);
    // far from near: nobody mends them
    for_each_left_out(q, g, [](T& gram) DRSL_LAMBDA { gram = -1; });
    const bool finite = convert(q, g, near);
    T* const distance = row.distance.get();
    if constexpr (kByCosine)
      for (int64_t k = 0; k < p.leading; ++k) distance[k] = 1 - cosine[k];
    for_each_left_out(q, distance, [](T& d) DRSL_LAMBDA { d = kInfinity; });
    for_each_left_out(q, inverse, [](T& i) DRSL_LAMBDA { i = 0; });
    for (size_t i = 0; i < size_t(row.n); ++i) {
      const auto k = size_t(row.column[i]);
      row.near[i] = near[k / kChunk] >> (k % kChunk) & 1;
      row.d[i] = distance[k];
      if constexpr (kAngles) {
        if (row.near[i]) row.cosine[i] = exact_pair(*p.x, q, r, int64_t(k), p.normalize).cosine;
        row.y[i] = T(0.5) + T(0.5) * T(row.cosine[i]);
      }
    }
    for (int i = 0; i < row.n; ++i) distance[row.column[size_t(i)]] = kInfinity;
    return finite || kByCosine;  // nobody looks at distances then
  }

  DRSL_INLINE T cosine_of(int64_t q, int64_t k, T gram) const {
    const Rows<T>&x = *p.x, &r = *p.r;
    const T by = x.inv_cos[size_t(q)], product = gram + x.shift[size_t(q)] + r.shift[size_t(k)];
    const T c = product * by * r.inv_cos[size_t(k)], low = c > T(-1) ? c : T(-1);
    return low < T(1) ? low : T(1);  // the cosines of near pairs may be anything so far
  }

  // Cosines of all columns. Near pairs, and those that products cannot be trusted with, get theirs when
  // they are mended.
  DRSL_INLINE void cosines(int64_t q, const T* g) const {
#pragma omp simd
    for (int64_t k = 0; k < p.r->count; ++k) cosine[k] = cosine_of(q, k, g[k]);
    for (int64_t k = p.r->count; k < p.leading; ++k) cosine[k] = 0;
  }

  template <class F>
  DRSL_INLINE void for_each_left_out(int64_t q, T* values, F f) const {
    const Selection& only = *p.selection;
    if (only.self[size_t(q)] >= 0 && !only.own_is_positive) f(values[only.self[size_t(q)]]);
    for (int64_t k = p.r->count; k < p.leading; ++k) f(values[k]);
    if (!only.exclude) return;
    const uint8_t* out = only.exclude + q * p.r->count;
    for (int64_t k = 0; k < p.r->count; ++k) {
      T v = values[k];
      f(v);
      values[k] = out[k] ? v : values[k];
    }
  }

  // Gram entries → distances and their inverses, near pairs mended and flagged.
  DRSL_INLINE bool convert(int64_t q, const T* g, uint64_t* near) const {
    const T own = p.x->norm2[size_t(q)];
    bool finite = true;
    for (int64_t first = 0; first < p.leading; first += kChunk) {
      const T* theirs = p.r->norm2.data() + first;
      T d2[kChunk];
      int any_near = 0;
#pragma omp simd reduction(| : any_near)
      for (int k = 0; k < kChunk; ++k) {
        const T both = own + theirs[k];
        d2[k] = both - 2 * g[first + k];
        any_near |= d2[k] > kNear<T> * both ? 0 : 1;
      }
      roots(d2, kChunk, row.distance.get() + first, inverse + first);
      if (any_near) finite &= mend(q, first, d2, near);
    }
    return finite && (p.normalize || p.x->unit == 1 || change_unit(q));
  }

  // Distances in the unit of the rows given. They may overflow.
  DRSL_INLINE bool change_unit(int64_t q) const {
    bool finite = true;
    const T unit = T(p.x->unit),
            most = std::numeric_limits<T>::max() * (1 - 8 * std::numeric_limits<T>::epsilon());
    for (int64_t k = 0; k < p.r->count; ++k) {
      T& d = row.distance.get()[k];
      d *= unit;
      if (d < kSmallest<T>) inverse[k] = 0;
      finite &= d < most || !p.selection->left(q, k);  // not ∞, and not rounded down from there
    }
    return finite;
  }

  DRSL_INLINE bool mend(int64_t q, int64_t first, const T* d2, uint64_t* near) const {
    bool finite = true;
    for (int64_t k = 0; k < kChunk; ++k) {
      const T both = p.x->norm2[size_t(q)] + p.r->norm2[size_t(first + k)];
      if (d2[k] > kNear<T> * both || first + k >= p.r->count || !p.selection->left(q, first + k))
        continue;
      const Pair exact = exact_pair(*p.x, q, *p.r, first + k, p.normalize);
      const T d = T(exact.distance);
      finite &= std::isfinite(d);
      if constexpr (kByCosine) cosine[first + k] = T(exact.cosine);
      row.distance.get()[first + k] = d;
      inverse[first + k] = d < kSmallest<T> ? T(0) : 1 / d;
      near[first / kChunk] |= uint64_t(1) << k;
    }
    return finite;
  }

  DRSL_INLINE void coefficients(int64_t q, T* g, uint64_t* near) const {
    const Rows<T>&x = *p.x, &r = *p.r;
    const double weight = p.weight[q], half_in_units = p.normalize ? 0.5 : 0.5 / x.unit;
    const T w = T(weight);
#pragma omp simd
    // negatives: A = −c = charge / d
    for (int64_t k = 0; k < p.leading; ++k) g[k] *= w * inverse[k];
    for (size_t i = 0; i < size_t(row.n); ++i) {
      const auto k = size_t(row.column[i]);
      const double by_distance = weight * double(row.grad_distance[i]) * double(inverse[k]);
      if constexpr (!kAngles) {
        g[k] = T(-by_distance);
        continue;
      }
      // y = (1 + cos) / 2. Inverses of lengths first: the unit of the smallest rows is next to 0.
      const double by_cosine = weight * double(row.grad_angle[i]);
      const double both = double(x.inv_cos[size_t(q)]) * double(r.inv_cos[k]);
      g[k] = T(by_cosine * both * half_in_units - by_distance);
      if (row.near[i]) near[k / kChunk] |= uint64_t(1) << (k % kChunk);
      if (!p.normalize) {
        const double ix = x.inv_norm[size_t(q)], ir = r.inv_norm[k];
        p.radial[q] += by_cosine * ix * (ir - row.cosine[i] * ix) * half_in_units;
        f[k] += by_cosine * ir * (ix - row.cosine[i] * ir) * half_in_units;
      }
    }
  }

  // Of losses by cosines: A = a everywhere. What is there so far are charges by 1 − cos.
  DRSL_INLINE void coefficients_by_cosine(int64_t q, T* g, uint64_t* near) const {
    const Rows<T>&x = *p.x, &r = *p.r;
    for (size_t i = 0; i < size_t(row.n); ++i) {
      const auto k = size_t(row.column[i]);
      g[k] = -row.grad_distance[i];
      if (row.near[i]) near[k / kChunk] |= uint64_t(1) << (k % kChunk);
    }
    const double weight = p.weight[q] * (p.normalize ? 1 : 1 / x.unit);
    const double ix = x.inv_norm[size_t(q)], own = weight * double(x.inv_cos[size_t(q)]);
    double radial = 0;
#pragma omp simd reduction(+ : radial)
    for (int64_t k = 0; k < r.count; ++k) {
      const double by_cosine = double(g[k]), c = double(cosine[k]), ir = r.inv_norm[size_t(k)];
      radial += by_cosine * (ir - c * ix);
      // the weight last: divided by the unit of the smallest rows it is next to infinity
      if (!p.normalize) f[k] += by_cosine * ir * (ix - c * ir) * weight;
      g[k] = T(by_cosine * own * double(r.inv_cos[size_t(k)]));
    }
    if (!p.normalize) p.radial[q] = radial * weight * ix;
  }
};

// Queries [begin, end); gram and near start at the first of them.
template <class T, class Policy>
DRSL_INLINE void turn_rows(const Problem<T>& p, const Policy& policy, Worker<T>& worker,
                           int64_t begin, int64_t end, T* gram, uint64_t* near) {
  const GramRow<T, Policy> turn{
      p, policy, worker.row, worker.f.data(), worker.inverse.get(), worker.cosine.get()};
  for (int64_t q = begin; q < end; ++q)
    turn(q, gram + (q - begin) * p.leading, near + (q - begin) * (p.leading / kChunk));
}

}  // namespace drsl
