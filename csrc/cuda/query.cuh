#pragma once
// Which entries a query compares with, as a kernel sees it.
#include <cstdint>

#include "cuda/stages.h"

namespace drsl::cuda {

struct Query {
  const int64_t* r_label;  // [columns]
  const uint8_t* exclude;  // [columns] of this query, or null
  int64_t label;
  int own, columns;  // own column, −1 for none
  bool own_is_positive;

  __device__ __forceinline__ Query(const Selected& s, int64_t q, int64_t columns)
      : r_label(s.r_label),
        exclude(s.exclude ? s.exclude + q * columns : nullptr),
        label(s.x_label[q]),
        columns(int(columns)),
        own_is_positive(s.own_is_positive) {
    const int64_t at = s.self_index ? s.self_index[q] : s.own ? q : -1;
    own = at >= 0 && at < columns ? int(at) : -1;
  }

  // k may lie beyond the last column.
  __device__ __forceinline__ bool compares(int k) const {
    return k < columns && (k != own || own_is_positive) && !(exclude && exclude[k]);
  }
  __device__ __forceinline__ bool positive(int k) const {
    return k < columns && (r_label[k] == label || (own_is_positive && k == own)) && compares(k);
  }
};

}  // namespace drsl::cuda
