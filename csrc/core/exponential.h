#pragma once
// eˣ. An engine may know a way of its own for a vector type.
#include <cmath>

#include "core/host_device.h"

namespace drsl {

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

}  // namespace drsl
