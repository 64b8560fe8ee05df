#pragma once
// Tensors of an operator call → what kernels take.
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <optional>
#include <type_traits>

#include "cuda/element.cuh"
#include "cuda/runtime.h"
#include "engine/arguments.h"

namespace drsl::cuda {

// The type of kernels for a type of torch.
template <class In>
struct Stored {
  using type = In;
};
template <>
struct Stored<torch::headeronly::Half> {
  using type = Half;
};
template <>
struct Stored<torch::headeronly::BFloat16> {
  using type = BFloat16;
};

template <class T>
T* data(const Tensor& t) {
  if constexpr (std::is_const_v<T>)
    return static_cast<T*>(t.const_data_ptr());
  else
    return static_cast<T*>(t.mutable_data_ptr());
}

inline void zero(const Tensor& t, cudaStream_t stream) {
  if (t.numel() == 0) return;
  const size_t bytes = size_t(t.numel() * t.element_size());
  check(cudaMemsetAsync(t.mutable_data_ptr(), 0, bytes, stream), "cudaMemsetAsync");
}

}  // namespace drsl::cuda
