#include "engine/tensors.h"

#include <torch/headeronly/util/Exception.h>

#include <cmath>
#include <exception>

namespace drsl {
namespace {

template <class Sizes>
std::string list(size_t n, Sizes size) {
  std::string s = "[";
  for (size_t i = 0; i < n; ++i) s += (i ? ", " : "") + std::to_string(size(i));
  return s + "]";
}

double bytes_of(ScalarType type) {
  switch (type) {
    case ScalarType::Bool:
    case ScalarType::Byte:
    case ScalarType::Char:
      return 1;
    case ScalarType::Short:
    case ScalarType::Half:
    case ScalarType::BFloat16:
      return 2;
    case ScalarType::Int:
    case ScalarType::Float:
      return 4;
    default:
      return 8;
  }
}

// f(), or an error that speaks of memory.
template <class F, class Sizes>
Tensor attempt(F f, const char* what, const char* name, size_t n, Sizes size, ScalarType type) {
  try {
    return f();
  } catch (const std::exception&) {
    double bytes = bytes_of(type);  // more than 64 bits hold, perhaps
    for (size_t i = 0; i < n; ++i) bytes *= double(size(i));
    STD_TORCH_CHECK(false, "drsl: no memory for ", what, name, " ", list(n, size), ": ",
                    std::round(bytes / double(1 << 20)), " MiB");
    throw;  // never reached, which not every compiler knows
  }
}

template <class F>
Tensor attempt(F f, const std::vector<int64_t>& shape, ScalarType type) {
  return attempt(f, "a tensor", "", shape.size(), [&](size_t i) { return shape[i]; }, type);
}

}  // namespace

const char* name_of(Device device) { return device == Device::kCuda ? "GPU" : "CPU"; }

bool lies(const Tensor& t, Device device) {
#if defined(DRSL_CUDA_ON_HOST)
  device = Device::kCpu;
#endif
  return device == Device::kCuda ? t.is_cuda() : t.is_cpu();
}

bool are_together(const Tensor& t, const Tensor& other) {
  return t.is_cpu() == other.is_cpu() && t.is_cuda() == other.is_cuda() &&
         t.get_device_index() == other.get_device_index();
}

std::vector<int64_t> shape_of(const Tensor& t) {
  std::vector<int64_t> shape(size_t(t.dim()));
  for (size_t i = 0; i < shape.size(); ++i) shape[i] = t.size(int64_t(i));
  return shape;
}

bool fits(const Tensor& t, const Tensor& other, ScalarType type,
          const std::vector<int64_t>& shape) {
  return are_together(t, other) && t.scalar_type() == type && shape_of(t) == shape;
}

std::string describe(const Tensor& t) {
  return list(size_t(t.dim()), [&](size_t i) { return t.size(int64_t(i)); });
}

Tensor contiguous(const char* name, const Tensor& t) {
  if (t.is_contiguous()) return t;
  return attempt([&] { return torch::stable::contiguous(t); }, "a contiguous copy of ", name,
                 size_t(t.dim()), [&](size_t i) { return t.size(int64_t(i)); }, t.scalar_type());
}

Tensor empty(const std::vector<int64_t>& shape, ScalarType type) {
  return attempt([&] { return torch::stable::empty(shape, type); }, shape, type);
}

Tensor empty_beside(const Tensor& other, const std::vector<int64_t>& shape, ScalarType type) {
  return attempt([&] { return torch::stable::new_empty(other, shape, type); }, shape, type);
}

}  // namespace drsl
