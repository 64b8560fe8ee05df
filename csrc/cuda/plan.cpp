#include "cuda/plan.h"

#include <algorithm>

#include "cuda/redistribute_splits.h"

namespace drsl::cuda {
namespace {

// On host threads limits are so small that tests go all ways.
#if defined(DRSL_CUDA_ON_HOST)
constexpr int64_t kMiB = int64_t(1) << 12;
#else
constexpr int64_t kMiB = int64_t(1) << 20;
#endif
// The batch against itself: all coefficients are kept up to this size (float32: B = 16,384), since
// one product over A + Aᵀ is cheaper than two, and half a Gram matrix cheaper than a whole one.
constexpr int64_t kInMemoryBytes = 1024 * kMiB;
// Otherwise a block of queries at a time. The product with the transposed block reads and writes the
// gallery's gradient once a block, so blocks are long.
constexpr int64_t kBlockBytes = 256 * kMiB, kMostRows = 4096;

// Up to this size a launch costs more than the work in it: few launches, pairs from differences. Each
// query has a slot of scratch.
constexpr int64_t kSmallRows = 512, kSmallQueries = 4096;
constexpr int64_t kSmallDim = 1 << 20;  // in tiles of 32 along y of a grid, which ends at 65,535
constexpr int64_t kSmallBlocks = 264;   // two for each multiprocessor of a large GPU

int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

template <class T>
Norms<T> take_norms(Pieces& pieces, int64_t rows) {
  return {pieces.take<T>(rows), pieces.take<T>(rows), pieces.take<T>(rows)};
}

int64_t workspace_bytes(const Shape& shape, const Plan& plan, bool normalize) {
  Pieces pieces;
  if (shape.item == 8)
    Workspace<double>(shape, plan, normalize, pieces);
  else
    Workspace<float>(shape, plan, normalize, pieces);
  return pieces.bytes();
}

}  // namespace

Slices::Slices(const Shape& s) {
  const int64_t tiles = (s.rows + kSmallTile - 1) / kSmallTile,
                blocks = s.sets * tiles * (tiles + 1) / 2;
  const int64_t most = (s.dim + 2 * kSmallSlab - 1) / (2 * kSmallSlab);
  const int64_t wanted = std::clamp<int64_t>((kSmallBlocks + blocks - 1) / blocks, 1, most);
  size = round_up((s.dim + wanted - 1) / wanted, kSmallSlab);
  count = int((s.dim + size - 1) / size);
}

Plan plan_cuda(const Shape& s, bool normalize) {
  if (s.sets == 0 || s.rows == 0 || s.columns == 0)
    return {Path::kEmpty, 0, 0, 0, 0, "no query or no gallery entry: nothing counts"};
  Plan plan{};
  plan.leading = round_up(s.columns, kLine);
  const int64_t row_bytes = plan.leading * s.item, set_bytes = s.rows * row_bytes;
  if (s.self && s.rows <= kSmallRows && s.sets * s.rows <= kSmallQueries && s.dim <= kSmallDim) {
    plan.path = Path::kSmall;
    plan.sets = s.sets;
    plan.block_rows = s.rows;
    plan.why = "a small batch against itself: three launches, pairs from differences";
  } else if (s.self && set_bytes <= kInMemoryBytes) {
    plan.path = Path::kInMemory;
    plan.sets = std::min(s.sets, std::max<int64_t>(1, kInMemoryBytes / set_bytes));
    plan.block_rows = s.rows;
    plan.why =
        "the gallery is the batch and its coefficients fit in 1 GiB: half a Gram matrix, one "
        "product";
  } else {
    plan.path = Path::kStreaming;
    plan.sets = 1;
    const int64_t fit = kBlockBytes / row_bytes / kLine * kLine;
    plan.block_rows = std::min(std::clamp(fit, kLine, kMostRows), s.rows);
    plan.why = s.self ? "the coefficients of the batch exceed 1 GiB: a block of rows at a time"
                      : "queries against a gallery: a block of rows at a time";
  }
  plan.workspace_bytes = workspace_bytes(s, plan, normalize);
  return plan;
}

template <class T>
Workspace<T>::Workspace(const Shape& s, const Plan& plan, bool normalize, Pieces& pieces) {
  const int64_t queries = s.sets * s.rows, entries = s.self ? 0 : s.sets * s.columns;
  x = take_norms<T>(pieces, queries);
  r = take_norms<T>(pieces, entries);
  unit_x_rows = pieces.take<T>(normalize ? queries * s.dim : 0);
  unit_r_rows = pieces.take<T>(normalize ? entries * s.dim : 0);
  unit_x = take_norms<T>(pieces, normalize ? queries : 0);
  unit_r = take_norms<T>(pieces, normalize ? entries : 0);
  loss = pieces.take<T>(queries);
  terms = pieces.take<T>(3 * queries);
  radial = pieces.take<T>(queries);
  weighs = pieces.take<int>(queries);
  share = pieces.take<T>(1);

  const bool small = plan.path == Path::kSmall;
  const int64_t rows = plan.sets * plan.block_rows;
  const int64_t parts = small ? Slices(s).count * rows * plan.leading : 0;
  square = pieces.take<T>(parts);
  dot = pieces.take<T>(parts);
  zeros = pieces.take<unsigned>(small ? kSmallZeros : 0);

  gram = pieces.take<T>(rows * plan.leading);
  angular = pieces.take<T>(s.gradient ? rows * plan.leading : 0);
  near = pieces.take<uint32_t>(rows * plan.leading / 32);
  some = pieces.take<uint8_t>(rows * plan.leading / kLine);
  column_sum = pieces.take<T>(s.gradient ? plan.sets * s.columns : 0);
  partial =
      pieces.take<T>(s.gradient ? angular_partials(plan.sets, plan.block_rows, s.columns) : 0);
  const bool streaming = s.gradient && plan.path == Path::kStreaming;
  const int64_t last =
      streaming ? (s.rows - 1) % plan.block_rows + 1 : 0;  // rows of the last block
  splits = pieces.take<T>(streaming ? std::max(split_numbers(plan.block_rows, s.dim, s.columns),
                                               split_numbers(last, s.dim, s.columns))
                                    : 0);
  const int64_t item = int64_t(sizeof(T));
  scratch =
      pieces.take<char>(small ? small_scratch_bytes(rows, s.columns, item)
                              : turn_scratch_bytes(plan.sets, plan.block_rows, s.columns, item));
}

template struct Workspace<float>;
template struct Workspace<double>;

}  // namespace drsl::cuda
