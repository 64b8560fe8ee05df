#pragma once
// Products of whole numbers of 8 bits, summed in 32: the library's.
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <array>
#include <exception>

#include "engine/tensors.h"

namespace drsl::cuda {

// Columns [first, first + count) of a matrix.
inline Tensor columns_of(Tensor matrix, int64_t first, int64_t count) {
  return torch::stable::narrow(matrix, 1, first, count);
}

// a [m, k], b [n, k] → a · bᵀ [m, n], exact. On a GPU m is above 16, n and k are multiples of 8.
inline Tensor integer_product(const Tensor& a, const Tensor& b) {
  try {
    std::array<StableIValue, 2> stack{
        torch::stable::detail::from(a),
        torch::stable::detail::from(torch::stable::transpose(b, 0, 1))};
    TORCH_ERROR_CODE_CHECK(
        torch_call_dispatcher("aten::_int_mm", "", stack.data(), TORCH_ABI_VERSION));
    return torch::stable::detail::to<Tensor>(stack[0]);
  } catch (const std::exception&) {
    STD_TORCH_CHECK(false, "drsl: no memory for, or no product of int8 ", describe(a), " and ",
                    describe(b));
    throw;  // never reached, which not every compiler knows
  }
}

}  // namespace drsl::cuda
