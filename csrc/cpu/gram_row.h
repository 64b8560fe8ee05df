#pragma once
// A row of the Gram matrix → the query's loss → a row of coefficients A = a − c, in place (docs/design.md).
#include <cstdint>
#include <limits>

#include "core/losses.h"
#include "cpu/near.h"
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
  const double* weight;  // [B] what each query's gradient is multiplied by
  int64_t leading;       // of coefficient rows
  bool normalize, gradient;

  double* loss;    // [B]
  double* terms;   // [B, 3]
  double* radial;  // [B] e_q of design.md
};

// Turns rows of one block; one per thread.
template <class T, class Policy>
struct GramRow {
  const Problem<T>& p;
  const Policy& policy;
  Row<T>& row;
  double* f;  // [G] of this task

  static constexpr T kInfinity = std::numeric_limits<T>::infinity();

  // g [leading]: Gram row in, coefficients out.   near [leading / 64]: flags of near pairs out.
  DRSL_INLINE void operator()(int64_t q, T* g, uint64_t* near) const {
    const int64_t words = p.leading / kChunk;
    for (int64_t w = 0; w < words; ++w) near[w] = 0;
    p.radial[q] = 0;
    double* terms = p.terms + q * 3;
    terms[0] = terms[1] = terms[2] = p.loss[q] = 0;
    row.n = p.selection->positives(q, row.column.data());
    if (row.n == 0) return fill(g, T(0));
    if (is_bad(q) || !load(q, g, near)) return give_up(q, g, near);
    row.begin();
    policy(row);
    for (int t = 0; t < 3; ++t) terms[t] = row.terms[t];
    p.loss[q] = policy.total(T(terms[0]), T(terms[1]), T(terms[2]));
    if (p.gradient) coefficients(q, g, near);
  }

 private:
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

  // Distances of all columns, angles of the positives. False if one of them overflows.
  DRSL_INLINE bool load(int64_t q, T* g, uint64_t* near) const {
    const Rows<T>&x = *p.x, &r = *p.r;
    const T own = x.norm2[size_t(q)];
    for (const int32_t j : r.duplicates) g[j] = g[r.representative[size_t(j)]];
    bool finite = true;
    for (size_t i = 0; i < size_t(row.n); ++i) {
      const auto k = size_t(row.column[i]);
      const T both = own + r.norm2[k], d2 = both - 2 * g[k];
      row.near[i] = !(d2 > kNear<T> * both);
      Pair pair;
      if (row.near[i]) {
        pair = exact_pair(x, q, r, int64_t(k), p.normalize);
        finite &= std::isfinite(T(pair.distance));
      } else {
        const T cosine = (g[k] + x.shift[size_t(q)] + r.shift[k]) * x.inv_cos[size_t(q)] * r.inv_cos[k];
        pair = {double(std::sqrt(d2)), double(std::clamp(cosine, T(-1), T(1)))};
      }
      row.d[i] = T(pair.distance);
      row.cosine[i] = pair.cosine;
      row.y[i] = T(0.5) + T(0.5) * T(pair.cosine);
    }

    // What is left out, and the positives, go to distance +∞.
    for (int i = 0; i < row.n; ++i) g[row.column[size_t(i)]] = -kInfinity;
    const Selection& only = *p.selection;
    if (only.self[size_t(q)] >= 0) g[only.self[size_t(q)]] = -kInfinity;
    if (only.exclude) {
      const uint8_t* out = only.exclude + q * r.count;
      for (int64_t k = 0; k < r.count; ++k) g[k] = out[k] ? -kInfinity : g[k];
    }
    for (int64_t k = r.count; k < p.leading; ++k) g[k] = -kInfinity;

    for (int64_t first = 0; first < p.leading; first += kChunk) {
      const T* gram = g + first;
      const T* theirs = r.norm2.data() + first;
      T* d = row.distance.get() + first;
      int any_near = 0;
#pragma omp simd reduction(| : any_near)
      for (int k = 0; k < kChunk; ++k) {
        const T both = own + theirs[k], d2 = both - 2 * gram[k];
        any_near |= d2 > kNear<T> * both ? 0 : 1;
        d[k] = std::sqrt(d2);
      }
      if (any_near) finite &= mend(q, first, gram, near);
    }
    return finite;
  }

  DRSL_INLINE bool mend(int64_t q, int64_t first, const T* gram, uint64_t* near) const {
    bool finite = true;
    for (int64_t k = 0; k < kChunk; ++k) {
      T& d = row.distance.get()[first + k];
      if (gram[k] == -kInfinity) {
        d = kInfinity;
        continue;
      }
      const T both = p.x->norm2[size_t(q)] + p.r->norm2[size_t(first + k)];
      if (both - 2 * gram[k] > kNear<T> * both) continue;
      d = T(exact_pair(*p.x, q, *p.r, first + k, p.normalize).distance);
      finite &= std::isfinite(d);
      near[first / kChunk] |= uint64_t(1) << k;
    }
    return finite;
  }

  DRSL_INLINE void coefficients(int64_t q, T* g, uint64_t* near) const {
    const Rows<T>&x = *p.x, &r = *p.r;
    const double weight = p.weight[q];
    const T w = T(weight);
    // Negatives: ∂/∂d = −spread, so A = −c = spread / d.
    for (int64_t first = 0; first < p.leading; first += kChunk) {
      const T* charge = row.spread.get() + first;
      const T* d = row.distance.get() + first;
      if (!row.in_reach(first / kChunk)) {
        for (int k = 0; k < kChunk; ++k) g[first + k] = 0;
        continue;
      }
#pragma omp simd
      for (int k = 0; k < kChunk; ++k) g[first + k] = w * charge[k] / d[k];
      for (uint64_t flags = near[first / kChunk]; flags; flags &= flags - 1) {
        const int k = __builtin_ctzll(flags);
        if (d[k] < kSmallest<T>) g[first + k] = 0;
      }
    }
    for (size_t i = 0; i < size_t(row.n); ++i) {
      const auto k = size_t(row.column[i]);
      const double by_cosine = 0.5 * weight * double(row.grad_angle[i]);  // y = (1 + cos) / 2
      const double by_distance = row.d[i] < kSmallest<T> ? 0.0 : weight * double(row.grad_distance[i]) / double(row.d[i]);
      g[k] = T(by_cosine * double(x.inv_cos[size_t(q)]) * double(r.inv_cos[k]) - by_distance);
      if (row.near[i]) near[k / kChunk] |= uint64_t(1) << (k % kChunk);
      if (!p.normalize) {
        const double ix = x.inv_norm[size_t(q)], ir = r.inv_norm[k];
        p.radial[q] += by_cosine * ix * (ir - row.cosine[i] * ix);
        f[k] += by_cosine * ir * (ix - row.cosine[i] * ir);
      }
    }
  }
};

// Queries [begin, end); gram and near start at the first of them.
template <class T, class Policy>
DRSL_INLINE void turn_rows(const Problem<T>& p, const Policy& policy, Row<T>& row, double* f, int64_t begin,
                           int64_t end, T* gram, uint64_t* near) {
  const GramRow<T, Policy> turn{p, policy, row, f};
  for (int64_t q = begin; q < end; ++q)
    turn(q, gram + (q - begin) * p.leading, near + (q - begin) * (p.leading / kChunk));
}

}  // namespace drsl
