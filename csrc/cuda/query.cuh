#pragma once
// Which entries a query compares with, as a kernel sees it.
#include <cstdint>

#include "cuda/stages.h"

namespace drsl::cuda {

// The column that is query q itself, −1 for none.
__device__ __forceinline__ int own_column(const Selected& s, int64_t q, int64_t columns) {
  const int64_t at = s.self_index ? s.self_index[q] : s.own ? q : -1;
  return at >= 0 && at < columns ? int(at) : -1;
}

struct Query {
  const int64_t* r_label;  // [columns]
  const uint8_t* exclude;  // [columns] of this query, or null
  int64_t label;
  int own, columns;  // own column if it is left out, else −1

  __device__ __forceinline__ Query(const Selected& s, int64_t q, int64_t columns)
      : r_label(s.r_label),
        exclude(s.exclude ? s.exclude + q * columns : nullptr),
        label(s.x_label[q]),
        own(s.own_is_positive ? -1 : own_column(s, q, columns)),
        columns(int(columns)) {}

  // k may lie beyond the last column.
  __device__ __forceinline__ bool compares(int k) const {
    return k < columns && k != own && !(exclude && exclude[k]);
  }
  __device__ __forceinline__ bool positive(int k) const {
    return k < columns && r_label[k] == label && compares(k);
  }
};

}  // namespace drsl::cuda
