#pragma once
// Columns of numbers ≥ 0, with the sign bit set at positives (of zeros too) and +∞ at what is left out.
#include <cmath>

#include "cuda/row.cuh"

namespace drsl::cuda {

template <class T>
__device__ __forceinline__ T marked(T x, bool mark) {
  return copysign(x, mark ? T(-1) : T(1));
}
template <class T>
__device__ __forceinline__ bool is_marked(T x) {
  return std::signbit(x);
}
template <class T>
__device__ __forceinline__ T magnitude(T x) {
  return x < T(0) ? -x : x + T(0);  // −0 becomes 0
}

}  // namespace drsl::cuda
