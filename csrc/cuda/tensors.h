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

// A number for each query, [B] or [S, B], contiguous; nothing if nothing is given.
inline std::optional<Tensor> query_numbers(const char* name, const std::optional<Tensor>& given,
                                           const Embeddings& e, ScalarType type) {
  if (!given) return std::nullopt;
  STD_TORCH_CHECK(given->get_device_index() == e.x.get_device_index() &&
                      given->is_cpu() == e.x.is_cpu() && given->scalar_type() == type &&
                      given->numel() == e.S * e.B,
                  "drsl: ", name, " must be a number of the accumulation type for each query");
  return contiguous(name, *given);
}

inline void zero(const Tensor& t, cudaStream_t stream) {
  if (t.numel() == 0) return;
  const size_t bytes = size_t(t.numel() * t.element_size());
  check(cudaMemsetAsync(t.mutable_data_ptr(), 0, bytes, stream), "cudaMemsetAsync");
}

}  // namespace drsl::cuda
