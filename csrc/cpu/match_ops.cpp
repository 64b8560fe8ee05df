// The operators of the evaluation on a CPU: tensors in, tensors out. Arguments that do not fit are refused
// here; numbers that are not finite only give results without meaning.
#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <limits>
#include <new>
#include <stdexcept>
#include <tuple>
#include <vector>

#include "cpu/distances.h"
#include "cpu/match_rows.h"
#include "cpu/match_tiles.h"
#include "cpu/matches.h"
#include "engine/arguments.h"

namespace drsl {
namespace {

constexpr auto kFloat = ScalarType::Float, kDouble = ScalarType::Double, kInt = ScalarType::Int,
               kLong = ScalarType::Long;

template <class T>
const T* data(const Tensor& t) {
  return static_cast<const T*>(t.const_data_ptr());
}
template <class T>
T* out(const Tensor& t) {
  return static_cast<T*>(t.mutable_data_ptr());
}

// Each in [low, high]: they are read as places.
template <class I>
void check_range(const char* name, const Tensor& t, int64_t low, int64_t high) {
  const I* const at = data<I>(t);
  for (int64_t i = 0; i < t.numel(); ++i)
    STD_TORCH_CHECK(at[i] >= low && at[i] <= high, "drsl: ", name, " must be in ", low, " .. ",
                    high);
}

void check_features(const Tensor& x, const Tensor& gallery) {
  STD_TORCH_CHECK(x.is_cpu() && x.dim() == 2 && gallery.dim() == 2,
                  "drsl: x must be [B, D] and gallery [G, D], on the CPU");
  STD_TORCH_CHECK(x.scalar_type() == kFloat || x.scalar_type() == kDouble,
                  "drsl: x must be float32 or float64");
  STD_TORCH_CHECK(x.size(1) >= 1, "drsl: x must have rows of at least one number");
  constexpr int64_t most = std::numeric_limits<int32_t>::max() - 64;
  STD_TORCH_CHECK(x.size(0) < most && gallery.size(0) < most,
                  "drsl: too many queries or entries: ", x.size(0), " and ", gallery.size(0));
}

// f(float{}) or f(double{}), as the features are.
template <class F>
void by_type(const Tensor& x, const F& f) {
  x.scalar_type() == kFloat ? f(float{}) : f(double{});
}

// What Identities points to.
struct IdentityTensors {
  Tensor by_identity, begin, end, norm2;
  std::optional<Tensor> x_camera, camera;

  IdentityTensors(const Tensor& by_identity, const Tensor& begin, const Tensor& end,
                  const std::optional<Tensor>& x_camera, const std::optional<Tensor>& camera,
                  const Tensor& norm2, const Tensor& x, int64_t G)
      : by_identity(checked("by_identity", by_identity, x, kInt, {G})),
        begin(checked("begin", begin, x, kLong, {x.size(0)})),
        end(checked("end", end, x, kLong, {x.size(0)})),
        norm2(checked("gallery_norm2", norm2, x, kDouble, {G})) {
    check_range<int32_t>("by_identity", this->by_identity, 0, G - 1);
    check_range<int64_t>("begin", this->begin, 0, G);
    check_range<int64_t>("end", this->end, 0, G);
    STD_TORCH_CHECK(bool(x_camera) == bool(camera), "drsl: cameras: both or none");
    if (!camera) return;
    this->x_camera = checked("x_camera", *x_camera, x, kLong, {x.size(0)});
    this->camera = checked("gallery_camera", *camera, x, kLong, {G});
  }
  Identities view() const {
    return {data<int32_t>(by_identity),
            data<int64_t>(begin),
            data<int64_t>(end),
            camera ? data<int64_t>(*x_camera) : nullptr,
            camera ? data<int64_t>(*camera) : nullptr,
            data<double>(norm2)};
  }
};

// What f writes for B queries, or an error that speaks of memory.
template <class F>
std::tuple<Tensor, Tensor, Tensor> scores_from(int64_t B, int64_t G, const F& f) {
  const auto no_memory = [] { STD_TORCH_CHECK(false, "drsl: no memory for what threads work in"); };
  std::vector<Scores> scores;
  try {
    scores.assign(size_t(B), scores_by([](int64_t) { return 0; }, 0));
    if (B > 0 && G > 0) f(scores.data());
  } catch (const std::bad_alloc&) {
    no_memory();
  } catch (const std::length_error&) {
    no_memory();
  }
  const Tensor ap = empty({B}, kDouble), inp = empty({B}, kDouble), first = empty({B}, kLong);
  for (int64_t q = 0; q < B; ++q) {
    out<double>(ap)[q] = scores[size_t(q)].ap;
    out<double>(inp)[q] = scores[size_t(q)].inp;
    out<int64_t>(first)[q] = scores[size_t(q)].first;
  }
  return {ap, inp, first};
}

// Each the place of an entry of its tile that is not behind it.
void check_first_equal(const Tensor& first_equal, int64_t width) {
  const int32_t* const at = data<int32_t>(first_equal);
  for (int64_t k = 0; k < first_equal.numel(); ++k)
    STD_TORCH_CHECK(at[k] >= 0 && at[k] <= k % width,
                    "drsl: first_equal must be a place in the entry's tile, up to its own");
}

std::tuple<Tensor, Tensor, Tensor> match_tiles_op(
    Tensor x_operand, Tensor operand, Tensor x, Tensor gallery, Tensor x_norm2,
    Tensor gallery_norm2, Tensor first_equal, Tensor by_identity, Tensor begin, Tensor end,
    std::optional<Tensor> x_camera, std::optional<Tensor> gallery_camera, double scale,
    bool on_grid, int64_t parts, int64_t height, int64_t width, int64_t limit) {
  check_features(x, gallery);
  const int64_t B = x.size(0), D = x.size(1), G = gallery.size(0);
  const ScalarType type = x.scalar_type();
  STD_TORCH_CHECK(height >= 1 && width >= 1, "drsl: height and width must be at least 1");
  STD_TORCH_CHECK(parts >= 1 && parts <= D, "drsl: parts must be in 1 .. D");
  parts = (D - 1) / ((D - 1) / parts + 1) + 1;  // none is empty
  height = std::min(height, std::max<int64_t>(B, 1));
  width = std::min(width, std::max<int64_t>(G, 1));
  x = contiguous("x", x);
  gallery = checked("gallery", gallery, x, type, {G, D});
  x_operand = checked("x_operand", x_operand, x, type, {B, D});
  operand = checked("gallery_operand", operand, x, type, {G, D});
  x_norm2 = checked("x_norm2", x_norm2, x, kDouble, {B});
  first_equal = checked("first_equal", first_equal, x, kInt, {G});
  check_first_equal(first_equal, width);
  const IdentityTensors identities(by_identity, begin, end, x_camera, gallery_camera, gallery_norm2,
                                   x, G);
  return scores_from(B, G, [&](Scores* scores) {
    by_type(x, [&](auto feature) {
      using E = decltype(feature);
      match_tiles(Retrieval<E, E>{B, G, D, data<E>(x_operand), data<E>(operand), scale, on_grid,
                                  data<E>(x), data<E>(gallery), data<double>(x_norm2),
                                  data<double>(identities.norm2), data<int32_t>(first_equal),
                                  identities.view(), parts, height, width, limit},
                  scores);
    });
  });
}

std::tuple<Tensor, Tensor, Tensor> match_rows_op(
    Tensor gram, Tensor x, Tensor gallery, Tensor x_norm2, Tensor gallery_norm2, Tensor first_equal,
    Tensor by_identity, Tensor begin, Tensor end, std::optional<Tensor> x_camera,
    std::optional<Tensor> gallery_camera, bool on_grid) {
  check_features(x, gallery);
  const int64_t B = x.size(0), D = x.size(1), G = gallery.size(0);
  gram = checked("gram", gram, x, kDouble, {B, G});
  x = contiguous("x", x);
  gallery = checked("gallery", gallery, x, x.scalar_type(), {G, D});
  x_norm2 = checked("x_norm2", x_norm2, x, kDouble, {B});
  first_equal = checked("first_equal", first_equal, x, kInt, {G});
  check_range<int32_t>("first_equal", first_equal, 0, G - 1);
  const IdentityTensors identities(by_identity, begin, end, x_camera, gallery_camera, gallery_norm2,
                                   x, G);
  return scores_from(B, G, [&](Scores* scores) {
    by_type(x, [&](auto feature) {
      using E = decltype(feature);
      match_rows(WholeRows<E>{B, G, D, data<double>(gram), data<E>(x), data<E>(gallery),
                              data<double>(x_norm2), data<double>(identities.norm2),
                              data<int32_t>(first_equal), identities.view(), on_grid},
                 scores);
    });
  });
}

Tensor squared_lengths_op(Tensor rows) {
  STD_TORCH_CHECK(rows.is_cpu() && rows.dim() == 2, "drsl: rows must be [B, D], on the CPU");
  STD_TORCH_CHECK(rows.scalar_type() == kFloat || rows.scalar_type() == kDouble,
                  "drsl: rows must be float32 or float64");
  rows = contiguous("rows", rows);
  const int64_t B = rows.size(0), D = rows.size(1);
  const Tensor length2 = empty({B}, kDouble);
  by_type(rows, [&](auto feature) {
    squared_lengths(data<decltype(feature)>(rows), B, D, out<double>(length2));
  });
  return length2;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(drsl, CPU, m) {
  m.impl("match_tiles", TORCH_BOX(&match_tiles_op));
  m.impl("match_rows", TORCH_BOX(&match_rows_op));
  m.impl("squared_lengths", TORCH_BOX(&squared_lengths_op));
}

}  // namespace drsl
