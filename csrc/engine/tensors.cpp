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
