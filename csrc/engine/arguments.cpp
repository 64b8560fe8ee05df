#include "engine/arguments.h"

#include <limits>
#include <numeric>

namespace drsl {

void check_counts(int64_t rows, int64_t columns) {
  constexpr int64_t most = std::numeric_limits<int32_t>::max();
  STD_TORCH_CHECK(rows <= most && columns <= most, "drsl: at most 2^31 - 1 rows, got ", rows,
                  " and ", columns);
}

Embeddings::Embeddings(const Tensor& given, const std::optional<Tensor>& other, Device device)
    : x(given), sets(given.dim() == 3) {
  STD_TORCH_CHECK(lies(given, device), "drsl: x must be on the ", name_of(device), " here");
  STD_TORCH_CHECK(given.dim() == 2 || given.dim() == 3, "drsl: x must be [B, D] or [S, B, D], got ",
                  describe(given));
  STD_TORCH_CHECK(given.size(-1) > 0, "drsl: x must have rows of at least one number, got ",
                  describe(given));
  x = contiguous("x", given);
  S = sets ? x.size(0) : 1;
  B = x.size(-2);
  D = x.size(-1);
  G = B;
  if (other) {
    STD_TORCH_CHECK(are_together(*other, x) && other->scalar_type() == x.scalar_type(),
                    "drsl: gallery must have x's device and dtype");
    STD_TORCH_CHECK(
        other->dim() == x.dim() && other->size(-1) == D && (!sets || other->size(0) == S),
        "drsl: gallery must match x ", describe(x), " in all but its rows, got ", describe(*other));
    gallery = contiguous("gallery", *other);
    G = gallery->size(-2);
  }
  check_counts(B, G);
}

std::vector<int64_t> Embeddings::shape(std::vector<int64_t> tail) const {
  if (sets) tail.insert(tail.begin(), S);
  return tail;
}

Shape Embeddings::problem(bool gradient) const {
  return {S, B, G, D, !gallery, gradient, accumulation() == ScalarType::Double ? 8 : 4};
}

Tensor checked(const char* name, const Tensor& t, const Tensor& x, ScalarType type,
               const std::vector<int64_t>& shape) {
  STD_TORCH_CHECK(fits(t, x, type, shape), "drsl: ", name,
                  " does not fit x and gallery in device, dtype or shape");
  return contiguous(name, t);
}

Tensor checked_matrix(const char* name, const Tensor& t, const Tensor& distance) {
  STD_TORCH_CHECK(fits(t, distance, distance.scalar_type(), shape_of(distance)), "drsl: ", name,
                  " must have the shape, dtype and device of distance");
  return contiguous(name, t);
}

Tensor checked_distance(const Tensor& t, const Embeddings& e) {
  STD_TORCH_CHECK(fits(t, e.x, e.accumulation(), e.shape({e.B, e.G})),
                  "drsl: distance must be what pairwise gave for x and gallery");
  return contiguous("distance", t);
}

std::optional<Tensor> query_numbers(const char* name, const std::optional<Tensor>& t,
                                    const Embeddings& e) {
  if (!t) return std::nullopt;
  STD_TORCH_CHECK(
      are_together(*t, e.x) && t->scalar_type() == e.accumulation() && t->numel() == e.S * e.B,
      "drsl: ", name, " must be a number of the accumulation type for each query");
  return contiguous(name, *t);
}

std::vector<int64_t> integers(const char* name, const Tensor& given, int64_t n) {
  STD_TORCH_CHECK(given.is_cpu() && given.dim() == 1 && given.size(0) == n, "drsl: ", name,
                  " must be [", n, "] on the CPU, got ", describe(given));
  const Tensor t = contiguous(name, given);
  std::vector<int64_t> out(static_cast<size_t>(n));
  const auto copy = [&](auto type) {
    const auto* from = static_cast<const decltype(type)*>(t.const_data_ptr());
    for (size_t i = 0; i < out.size(); ++i) out[i] = int64_t(from[i]);
  };
  switch (t.scalar_type()) {
    case ScalarType::Long:
      copy(int64_t{});
      break;
    case ScalarType::Int:
      copy(int32_t{});
      break;
    case ScalarType::Short:
      copy(int16_t{});
      break;
    case ScalarType::Char:
      copy(int8_t{});
      break;
    case ScalarType::Byte:
      copy(uint8_t{});
      break;
    default:
      STD_TORCH_CHECK(false, "drsl: ", name, " must hold integers");
  }
  return out;
}

Selection select(int64_t B, int64_t G, const Tensor& labels,
                 const std::optional<Tensor>& gallery_labels,
                 const std::optional<Tensor>& self_index, const std::optional<Tensor>& exclude) {
  const std::vector<int64_t> query = integers("labels", labels, B);
  STD_TORCH_CHECK(gallery_labels || G == B, "drsl: gallery_labels are missing");
  std::vector<int64_t> gallery;
  if (gallery_labels) gallery = integers("gallery_labels", *gallery_labels, G);
  std::vector<int64_t> self(size_t(B), -1);
  if (self_index) {
    self = integers("self_index", *self_index, B);
    for (const int64_t k : self)
      STD_TORCH_CHECK(k >= -1 && k < G, "drsl: self_index must lie in -1 .. ", G - 1, ", got ", k);
  } else if (!gallery_labels) {
    std::iota(self.begin(), self.end(), int64_t(0));
  }
  const uint8_t* mask = nullptr;
  if (exclude) {
    STD_TORCH_CHECK(exclude->is_cpu() && exclude->scalar_type() == ScalarType::Bool &&
                        exclude->dim() == 2 && exclude->size(0) == B && exclude->size(1) == G &&
                        exclude->is_contiguous(),
                    "drsl: exclude must be contiguous bool [", B, ", ", G, "] on the CPU, got ",
                    describe(*exclude));
    mask = static_cast<const uint8_t*>(exclude->const_data_ptr());
  }
  const std::vector<int64_t>& columns = gallery_labels ? gallery : query;
  return {Groups(columns.data(), G, query.data(), B), std::move(self), mask, G};
}

}  // namespace drsl
