#pragma once
// Tensors that take memory. Where there is none, an error says for what and how much: torch's own words
// do not come through its stable ABI.
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <cstdint>
#include <string>
#include <vector>

namespace drsl {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// Where an operator wants its tensors.
enum class Device { kCpu, kCuda };
const char* name_of(Device device);

// Whether it is there. Where kernels run on host threads, the CPU's tensors are the GPU's too.
bool lies(const Tensor& t, Device device);
bool are_together(const Tensor& t, const Tensor& other);

std::vector<int64_t> shape_of(const Tensor& t);
// "[2, 3]"
std::string describe(const Tensor& t);

// Whether it lies beside another tensor and has this type and shape.
bool fits(const Tensor& t, const Tensor& other, ScalarType type, const std::vector<int64_t>& shape);

// The tensor itself if it is contiguous, else a copy.
Tensor contiguous(const char* name, const Tensor& t);

// Uninitialised; on the CPU, or on the device of another tensor.
Tensor empty(const std::vector<int64_t>& shape, ScalarType type);
Tensor empty_beside(const Tensor& other, const std::vector<int64_t>& shape, ScalarType type);

}  // namespace drsl
