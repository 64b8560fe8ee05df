#pragma once
// A row as policies see it that take each entry by itself (Way::kEach): no sums over positives, and a query
// without any may count.
#include "core/losses/policy.h"
#include "cpu/row.h"
#include "cpu/simd_math.h"
#include "cpu/vector.h"

namespace drsl {

template <class T>
class EachRow {
 public:
  // others: entries that are left and no positives
  DRSL_INLINE EachRow(Row<T>& row, int64_t columns, int64_t others)
      : row_(row), columns_(columns), others_(others) {}

  int64_t entries() const { return row_.n + others_; }

  // Every pair by its distance: values to the first two terms, slopes to the gradient.
  template <class Positive, class Negative>
  DRSL_INLINE void map_pairs(Positive positive, Negative negative) {
    const size_t n = size_t(row_.n);  // padded to whole vectors
    for (size_t i = 0; i < n; i += Wide::kLanes) {
      const Slope<Wide::Vector> s = positive(Wide::load(&row_.d[i]));
      for (size_t k = 0; k < size_t(Wide::kLanes) && i + k < n; ++k) {
        row_.terms[0] += s.value[k];
        row_.grad_distance[i + k] = T(s.slope[k]);
      }
    }
    for (int64_t c = 0; c < columns_; c += kChunk) {
      Vector sum{};
      for (int64_t k = c; k < c + kChunk; k += Simd<T>::kLanes) {
        const Slope<Vector> s = negative(load(row_.distance.get() + k));
        sum += s.value;
        store(row_.spread + k, -s.slope);
      }
      for (int k = 0; k < Simd<T>::kLanes; ++k) row_.terms[1] += double(sum[k]);
    }
  }

  // loss(distance of the farthest positive, of the nearest negative), by which the two are charged.
  // Of equal ones the lowest column is taken; there is one of each.
  template <class Loss>
  DRSL_INLINE void hardest(Loss loss) {
    size_t far = 0;
    for (size_t i = 1; i < size_t(row_.n); ++i)
      if (row_.d[i] > row_.d[far]) far = i;
    row_.prepare(false);
    const int64_t near = row_.nearest_negative();
    const Slope<T> s = loss(row_.d[far], row_.distance.get()[near]);
    row_.terms[0] = double(s.value);
    std::fill_n(row_.grad_distance.begin(), row_.n, T(0));
    row_.grad_distance[far] = s.slope;
    std::fill_n(row_.spread, columns_, T(0));
    row_.spread[near] = s.slope;
  }

 private:
  using Vector = typename Simd<T>::Vector;

  Row<T>& row_;
  const int64_t columns_, others_;
};

}  // namespace drsl
