#pragma once
// Tensors of an operator call → plain pointers and sizes. Python has checked what users pass; the
// checks here keep direct calls of torch.ops.drsl.* from reading out of bounds.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/plan.h"
#include "engine/reduction.h"
#include "engine/selection.h"
#include "engine/tensors.h"

namespace drsl {

// [S, B, D] or [B, D] against [S, G, D] or [G, D]; contiguous.
struct Embeddings {
  Tensor x;
  std::optional<Tensor> gallery;
  bool sets;  // whether there is a leading set dimension
  int64_t S, B, G, D;

  Embeddings(const Tensor& x, const std::optional<Tensor>& gallery, Device device = Device::kCpu);
  ScalarType type() const { return x.scalar_type(); }
  ScalarType accumulation() const {
    return type() == ScalarType::Double ? type() : ScalarType::Float;
  }
  // with the set dimension in front, if any
  std::vector<int64_t> shape(std::vector<int64_t> tail) const;
  Shape problem(bool gradient) const;
};

// Labels, own copies and exclusions of B queries against G entries. `exclude` is kept alive
// by the caller.
Selection select(int64_t B, int64_t G, const Tensor& labels,
                 const std::optional<Tensor>& gallery_labels,
                 const std::optional<Tensor>& self_index, const std::optional<Tensor>& exclude);

// Throws unless rows and columns can be counted in 32 bits.
void check_counts(int64_t rows, int64_t columns);

// An integer tensor [n] of any width.
std::vector<int64_t> integers(const char* name, const Tensor& t, int64_t n);

// Arguments, contiguous; an error names one that does not fit. Of type and shape, beside x:
Tensor checked(const char* name, const Tensor& t, const Tensor& x, ScalarType type,
               const std::vector<int64_t>& shape);
// [.., B, G], as the distances are
Tensor checked_matrix(const char* name, const Tensor& t, const Tensor& distance);
// what pairwise gave for these embeddings
Tensor checked_distance(const Tensor& t, const Embeddings& e);
// a number of the accumulation type for each query, [B] or [S, B], if any
std::optional<Tensor> query_numbers(const char* name, const std::optional<Tensor>& t,
                                    const Embeddings& e);

// f(In{}, T{}) for the input's type and the type it accumulates in.
template <class F>
void dispatch(ScalarType type, F f) {
  switch (type) {
    case ScalarType::Double:
      return f(double{}, double{});
    case ScalarType::Float:
      return f(float{}, float{});
    case ScalarType::Half:
      return f(torch::headeronly::Half{}, float{});
    case ScalarType::BFloat16:
      return f(torch::headeronly::BFloat16{}, float{});
    default:
      STD_TORCH_CHECK(false, "drsl: embeddings must be float16, bfloat16, float32 or float64");
  }
}

}  // namespace drsl
