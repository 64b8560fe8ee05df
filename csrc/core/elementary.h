#pragma once
// Functions that an engine may know ways of its own for.
#include <cmath>
#include <type_traits>

#include "core/host_device.h"

namespace drsl {

// eˣ
template <class V>
struct Exponential {
  static DRSL_HD V of(V x) {
#if defined(__CUDA_ARCH__)
    return exp(x);  // of the type of x
#else
    return std::exp(x);
#endif
  }
};

// 1 − e^−x, x ≥ 0
template <class V>
struct Approach {
  static DRSL_HD V of(V x) { return -std::expm1(-x); }
};

// log x, given x − 1 too: near 1 that has the digits
template <class V>
struct Logarithm {
  static DRSL_HD V of(V x, V less) {
    return less > V(-0.5) && less < V(0.5) ? std::log1p(less) : std::log(x);
  }
};

// 1/x for x ≥ 1, ∞ too
template <class V>
struct Reciprocal {
  static DRSL_HD V of(V x) {
#if defined(__CUDA_ARCH__)
    if constexpr (std::is_same_v<V, float>) {  // to one unit in the last place
      float y;
      asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
      return y;
    }
#endif
    return (V{} + 1) / x;
  }
};

}  // namespace drsl
