// drsl::match_places on a CPU: tensors in, tensors out.
#include <torch/csrc/stable/library.h>

#include <limits>
#include <tuple>

#include "cpu/match_places.h"
#include "engine/tensors.h"

namespace drsl {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// A contiguous tensor of the type and shape that is wanted.
Tensor checked(const char* name, const Tensor& t, ScalarType type, std::vector<int64_t> shape) {
  bool fits = t.is_cpu() && t.scalar_type() == type && t.dim() == int64_t(shape.size());
  for (size_t i = 0; fits && i < shape.size(); ++i) fits = t.size(int64_t(i)) == shape[i];
  STD_TORCH_CHECK(fits, "drsl: ", name, " does not fit gram in device, dtype or shape");
  return contiguous(name, t);
}

template <class T>
const T* data(const Tensor& t) {
  return static_cast<const T*>(t.const_data_ptr());
}

// Each in [low, high]: they are read as places.
template <class I>
void check_range(const char* name, const Tensor& t, int64_t low, int64_t high) {
  for (int64_t i = 0; i < t.numel(); ++i)
    STD_TORCH_CHECK(data<I>(t)[i] >= low && data<I>(t)[i] <= high, "drsl: ", name, " must be in ",
                    low, " .. ", high);
}

std::tuple<Tensor, Tensor, Tensor> match_places_op(
    Tensor gram, Tensor x, Tensor gallery, Tensor x_norm2, Tensor gallery_norm2, Tensor first_equal,
    Tensor by_identity, Tensor begin, Tensor end, std::optional<Tensor> x_camera,
    std::optional<Tensor> gallery_camera, double scale, bool on_grid, int64_t limit) {
  STD_TORCH_CHECK(gram.is_cpu() && gram.dim() == 3 && x.dim() == 2,
                  "drsl: gram must be [P, B, G] and x [B, D], on the CPU");
  STD_TORCH_CHECK(gram.size(0) >= 1, "drsl: gram must have a part");
  STD_TORCH_CHECK(x.size(1) >= 1, "drsl: x must have rows of at least one number");
  STD_TORCH_CHECK(bool(x_camera) == bool(gallery_camera), "drsl: cameras: both or none");
  const int64_t P = gram.size(0), B = gram.size(1), G = gram.size(2), D = x.size(1);
  constexpr int64_t most = std::numeric_limits<int32_t>::max() - 64;
  STD_TORCH_CHECK(B < most && G < most, "drsl: too many queries or entries: ", B, " and ", G);
  const ScalarType type = gram.scalar_type(), given = x.scalar_type();
  gram = checked("gram", gram, type, {P, B, G});
  x = checked("x", x, given, {B, D});
  gallery = checked("gallery", gallery, given, {G, D});
  x_norm2 = checked("x_norm2", x_norm2, ScalarType::Double, {B});
  gallery_norm2 = checked("gallery_norm2", gallery_norm2, ScalarType::Double, {G});
  first_equal = checked("first_equal", first_equal, ScalarType::Int, {G});
  by_identity = checked("by_identity", by_identity, ScalarType::Int, {G});
  begin = checked("begin", begin, ScalarType::Long, {B});
  end = checked("end", end, ScalarType::Long, {B});
  check_range<int32_t>("first_equal", first_equal, 0, G - 1);
  check_range<int32_t>("by_identity", by_identity, 0, G - 1);
  check_range<int64_t>("begin", begin, 0, G);
  check_range<int64_t>("end", end, 0, G);
  if (x_camera) {
    x_camera = checked("x_camera", *x_camera, ScalarType::Long, {B});
    gallery_camera = checked("gallery_camera", *gallery_camera, ScalarType::Long, {G});
  }
  const Tensor ap = empty({B}, ScalarType::Double);
  const Tensor inp = empty({B}, ScalarType::Double);
  const Tensor first = empty({B}, ScalarType::Long);
  const Retrieved out{static_cast<double*>(ap.mutable_data_ptr()),
                      static_cast<double*>(inp.mutable_data_ptr()),
                      static_cast<int64_t*>(first.mutable_data_ptr())};

  if (B == 0 || G == 0) {
    for (int64_t q = 0; q < B; ++q) out.ap[q] = out.inp[q] = kNan, out.first[q] = 0;
    return {ap, inp, first};
  }
  const auto run = [&](auto product, auto feature) {
    using T = decltype(product);
    using E = decltype(feature);
    Retrieval<T, E> retrieval{B,
                              G,
                              D,
                              P,
                              (D - 1) / P + 1,
                              data<T>(gram),
                              data<E>(x),
                              data<E>(gallery),
                              data<double>(x_norm2),
                              data<double>(gallery_norm2),
                              data<int32_t>(first_equal),
                              data<int32_t>(by_identity),
                              data<int64_t>(begin),
                              data<int64_t>(end),
                              x_camera ? data<int64_t>(*x_camera) : nullptr,
                              x_camera ? data<int64_t>(*gallery_camera) : nullptr,
                              scale,
                              on_grid,
                              limit,
                              {},
                              {}};
    retrieval.prepare();
    match_places(retrieval, out);
  };
  if (type == ScalarType::Float && given == ScalarType::Float) {
    run(float{}, float{});
  } else if (type == ScalarType::Double && given == ScalarType::Float) {
    run(double{}, float{});
  } else {
    STD_TORCH_CHECK(type == ScalarType::Double && given == ScalarType::Double,
                    "drsl: gram must be float32 or float64, and not narrower than x");
    run(double{}, double{});
  }
  return {ap, inp, first};
}

Tensor squared_lengths_op(Tensor rows) {
  STD_TORCH_CHECK(rows.is_cpu() && rows.dim() == 2, "drsl: rows must be [B, D], on the CPU");
  rows = contiguous("rows", rows);
  const int64_t B = rows.size(0), D = rows.size(1);
  const Tensor out = empty({B}, ScalarType::Double);
  auto* const to = static_cast<double*>(out.mutable_data_ptr());
  if (rows.scalar_type() == ScalarType::Float) {
    squared_lengths(data<float>(rows), B, D, to);
  } else {
    STD_TORCH_CHECK(rows.scalar_type() == ScalarType::Double,
                    "drsl: rows must be float32 or float64");
    squared_lengths(data<double>(rows), B, D, to);
  }
  return out;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(drsl, CPU, m) {
  m.impl("match_places", TORCH_BOX(&match_places_op));
  m.impl("squared_lengths", TORCH_BOX(&squared_lengths_op));
}

}  // namespace drsl
