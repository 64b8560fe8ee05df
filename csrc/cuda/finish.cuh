#pragma once
// Gradients as they leave: out = share · grad and, where rows were scaled to unit length first, back
// through the scaling:
//
//   ∂x = (g − (g·x̂) x̂) / |x|,  x̂ = x / |x|
#include <cstdint>

#include "cuda/stages.h"

namespace drsl::cuda {

// x: rows and norms as given, before any scaling. share: one number on the device, null: 1. grad, out:
// [sets, count, dim], they may be one array.
template <class E, class Out>
void finish(int64_t sets, Side<E> x, bool normalize, const Accumulator<E>* share,
            const Accumulator<E>* grad, Out* out, cudaStream_t stream);

}  // namespace drsl::cuda
