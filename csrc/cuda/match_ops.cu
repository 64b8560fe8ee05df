// The operators of the evaluation on a GPU: checks, memory, what is queued. Nothing waits; numbers that
// make no sense give results that make none, within bounds.
#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <tuple>

#include "cuda/integer_product.h"
#include "cuda/match.h"
#include "cuda/plan.h"
#include "cuda/tensors.h"

namespace drsl {
namespace {

using namespace cuda;

constexpr auto kDouble = ScalarType::Double, kFloat = ScalarType::Float, kInt = ScalarType::Int,
               kLong = ScalarType::Long;
constexpr int64_t kLeastRows = 32, kRowsLine = 16;  // of digits: what the library's product wants

Tensor rows_of(const char* name, const Tensor& rows) {
  STD_TORCH_CHECK(lies(rows, Device::kCuda) && rows.dim() == 2, "drsl: ", name,
                  " must be [B, D], on the GPU");
  STD_TORCH_CHECK(rows.size(1) >= 1, "drsl: ", name, " must have rows of at least one number");
  constexpr int64_t most = std::numeric_limits<int32_t>::max() - 64;
  STD_TORCH_CHECK(rows.size(0) < most, "drsl: ", name, " has too many rows: ", rows.size(0));
  return contiguous(name, rows);
}

int64_t padded(int64_t count, int64_t line) { return (count + line - 1) / line * line; }

bool aligned(const Tensor& rows) {
  return (reinterpret_cast<uintptr_t>(rows.const_data_ptr()) |
          uintptr_t(rows.size(1) * rows.element_size())) %
             16 ==
         0;
}

// Rows as digits, and what is known of them.
struct Fixed {
  Tensor digits, columns, rows;

  static std::vector<int64_t> shape(int64_t count, int64_t dim) {
    return {std::max(kLeastRows, padded(count, kRowsLine)), kDigits * padded(dim, kDigitsLine)};
  }
  Fixed(const Tensor& of, const std::optional<Tensor>& given_centre, double scale, bool mirrored,
        cudaStream_t stream)
      : digits(empty_beside(of, shape(of.size(0), of.size(1)), ScalarType::Char)),
        columns(empty_beside(of, {digits.size(0), 2}, kFloat)),
        rows(empty_beside(of, {of.size(0), kFixedRowNumbers}, kDouble)) {
    STD_TORCH_CHECK(of.size(1) <= kMostDigits, "drsl: at most ", kMostDigits,
                    " numbers a row, got ", of.size(1));
    std::optional<Tensor> centre;
    if (given_centre) centre = checked("centre", *given_centre, of, kDouble, {of.size(1)});
    dispatch(of.scalar_type(), [&](auto in, auto) {
      using E = typename Stored<decltype(in)>::type;
      write_digits(DigitsTask<E>{data<const E>(of), of.size(0), digits.size(0), of.size(1),
                                 centre ? data<const double>(*centre) : nullptr, scale, mirrored,
                                 data<int8_t>(digits), data<float2>(columns), data<FixedRow>(rows)},
                   stream);
    });
  }
};

std::tuple<Tensor, Tensor, Tensor> fixed_point_op(Tensor rows, std::optional<Tensor> centre,
                                                  double scale, bool mirrored) {
  rows = rows_of("rows", rows);
  const DeviceScope scope(rows);
  const Fixed fixed(rows, centre, scale, mirrored, scope.stream);
  return {fixed.digits, fixed.columns, fixed.rows};
}

// Where everything lies between the arguments and the scores of a block, in one allocation.
void lay_out(MatchTask& task, Pieces& pieces) {
  const int64_t matches = task.queries * task.slots;
  task.before = pieces.take<unsigned>(matches);  // these two are zero at first
  task.listed = pieces.take<unsigned>(task.queries);
  task.value = pieces.take<double>(matches);
  task.column = pieces.take<int32_t>(matches);
  task.middle = pieces.take<float>(matches);
  task.threshold = pieces.take<Thresholds>(task.queries);
  task.reach = pieces.take<Reach>(task.queries * kMatchBuckets);
  task.list = pieces.take<int32_t>(task.queries * task.limit);
}

// Tiles of the gallery one after the other: its products are of all digits of a query with the last of an
// entry, of the first two with the last two, of the first with the first.
void count_tiles(const MatchTask& task, const Tensor& x, const Tensor& gallery, int64_t width,
                 cudaStream_t stream) {
  const int64_t line = x.size(1) / kDigits;
  for (int64_t first = 0; first < gallery.size(0); first += width) {
    const int64_t count_here = std::min(width, gallery.size(0) - first);
    Tensor whole = gallery;
    const Tensor r = torch::stable::narrow(whole, 0, first, count_here);
    const Tensor upper = integer_product(columns_of(x, 0, line), columns_of(r, 2 * line, line));
    const Tensor middle =
        integer_product(columns_of(x, 0, 2 * line), columns_of(r, line, 2 * line));
    const Tensor lower = integer_product(x, r);
    count(task,
          Tile{data<int32_t>(upper), data<const int32_t>(middle), data<const int32_t>(lower), first,
               count_here},
          stream);
  }
}

std::tuple<Tensor, Tensor, Tensor> match_digits_op(
    Tensor x, Tensor gallery, Tensor digits, Tensor columns, Tensor rows, Tensor most,
    std::optional<Tensor> centre, Tensor by_identity, Tensor begin, Tensor end,
    std::optional<Tensor> x_camera, std::optional<Tensor> gallery_camera, double scale,
    int64_t width, int64_t slots, int64_t limit) {
  x = rows_of("x", x);
  const int64_t B = x.size(0), D = x.size(1);
  STD_TORCH_CHECK(gallery.dim() == 2, "drsl: gallery must be [G, D]");
  const int64_t G = gallery.size(0);
  gallery = rows_of("gallery", checked("gallery", gallery, x, x.scalar_type(), {G, D}));
  digits = checked("digits", digits, x, ScalarType::Char, Fixed::shape(G, D));
  columns = checked("columns", columns, x, kFloat, {digits.size(0), 2});
  rows = checked("rows", rows, x, kDouble, {G, kFixedRowNumbers});
  most = checked("most", most, x, kDouble, {kFixedRowNumbers});
  by_identity = checked("by_identity", by_identity, x, kInt, {G});
  begin = checked("begin", begin, x, kLong, {B});
  end = checked("end", end, x, kLong, {B});
  STD_TORCH_CHECK(bool(x_camera) == bool(gallery_camera), "drsl: cameras: both or none");
  if (x_camera) {
    x_camera = checked("x_camera", *x_camera, x, kLong, {B});
    gallery_camera = checked("gallery_camera", *gallery_camera, x, kLong, {G});
  }
  STD_TORCH_CHECK(width >= 1, "drsl: width must be at least 1");
  STD_TORCH_CHECK(slots >= 1 && slots <= kMostMatches, "drsl: slots must be in 1 .. ",
                  kMostMatches);
  STD_TORCH_CHECK(limit >= 0, "drsl: limit must be at least 0");
  width = padded(std::min(width, int64_t(1) << 24), kRowsLine);
  limit = std::min(limit, G);

  const DeviceScope scope(x);
  const Tensor ap = empty_beside(x, {B}, kDouble), inp = empty_beside(x, {B}, kDouble),
               first = empty_beside(x, {B}, kLong);
  if (B == 0) return {ap, inp, first};
  const Fixed fixed(x, centre, scale, false, scope.stream);
  MatchTask task{B,
                 G,
                 D,
                 {data<const int32_t>(by_identity), data<const int64_t>(begin),
                  data<const int64_t>(end), x_camera ? data<const int64_t>(*x_camera) : nullptr,
                  x_camera ? data<const int64_t>(*gallery_camera) : nullptr, G},
                 scale,
                 data<const FixedRow>(fixed.rows),
                 data<const FixedRow>(rows),
                 data<const FixedRow>(most),
                 data<const float2>(columns),
                 int(slots),
                 int(limit)};
  Pieces sizes;
  lay_out(task, sizes);
  const Tensor memory = empty_beside(x, {sizes.bytes()}, ScalarType::Byte);
  Pieces pieces(memory.mutable_data_ptr());
  lay_out(task, pieces);
  const int64_t zeros = reinterpret_cast<char*>(task.value) - reinterpret_cast<char*>(task.before);
  check(cudaMemsetAsync(task.before, 0, size_t(zeros), scope.stream), "cudaMemsetAsync");
  dispatch(x.scalar_type(), [&](auto in, auto) {
    using E = typename Stored<decltype(in)>::type;
    const Features<E> features{
        data<const E>(x), data<const E>(gallery), B, G, D, aligned(x) && aligned(gallery)};
    find_matches(task, features, scope.stream);
    count_tiles(task, fixed.digits, digits, width, scope.stream);
    settle_listed(task, features, {data<double>(ap), data<double>(inp), data<int64_t>(first)},
                  scope.stream);
  });
  return {ap, inp, first};
}

Tensor exact_distances_op(Tensor x, Tensor gallery) {
  x = rows_of("x", x);
  STD_TORCH_CHECK(gallery.dim() == 2, "drsl: gallery must be [G, D]");
  const int64_t B = x.size(0), G = gallery.size(0), D = x.size(1);
  gallery = rows_of("gallery", checked("gallery", gallery, x, x.scalar_type(), {G, D}));
  const DeviceScope scope(x);
  const Tensor out = empty_beside(x, {B, G}, kDouble);
  dispatch(x.scalar_type(), [&](auto in, auto) {
    using E = typename Stored<decltype(in)>::type;
    measure_all(Features<E>{data<const E>(x), data<const E>(gallery), B, G, D,
                            aligned(x) && aligned(gallery)},
                data<double>(out), scope.stream);
  });
  return out;
}

Tensor squared_lengths_op(Tensor rows) {
  rows = rows_of("rows", rows);
  const DeviceScope scope(rows);
  const Tensor out = empty_beside(rows, {rows.size(0)}, kDouble);
  dispatch(rows.scalar_type(), [&](auto in, auto) {
    using E = typename Stored<decltype(in)>::type;
    squared_lengths(data<const E>(rows), rows.size(0), rows.size(1), aligned(rows),
                    data<double>(out), scope.stream);
  });
  return out;
}

}  // namespace

DRSL_CUDA_OPERATORS(m) {
  m.impl("fixed_point", TORCH_BOX(&fixed_point_op));
  m.impl("match_digits", TORCH_BOX(&match_digits_op));
  m.impl("exact_distances", TORCH_BOX(&exact_distances_op));
  m.impl("squared_lengths", TORCH_BOX(&squared_lengths_op));
}

}  // namespace drsl
