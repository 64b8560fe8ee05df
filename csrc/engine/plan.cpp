#include "engine/plan.h"

#include <algorithm>

namespace drsl {
namespace {

constexpr int64_t kMiB = int64_t(1) << 20;
// The whole coefficient matrix is kept up to this size (float32: B = 5,792). Beyond, three products
// a block cost 1.5 × the two that the triangle needs, but memory grows with B, not B².
constexpr int64_t kTriangleBytes = 128 * kMiB;
// A triangle's block of Gram rows: few, to waste little below the diagonal; not fewer, or the
// library packs the other operand too often.
constexpr int64_t kTriangleRows = 128, kManyTriangleRows = 256, kManyFrom = 1024;
// A streaming block is long enough for efficient products and small enough to stay near the caches.
constexpr int64_t kStreamingBytes = 32 * kMiB, kStreamingRows = 512;
constexpr int64_t kLine = 64;  // rows start at cache lines, and 64 columns share a word of flags

int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

}  // namespace

Plan plan_cpu(const Shape& s) {
  if (s.sets == 0 || s.rows == 0 || s.columns == 0)
    return {Path::kEmpty, 0, 0, 0, 0, "no query or no gallery entry: nothing counts"};
  Plan plan{};
  plan.sets = 1;
  plan.leading = round_up(s.columns, kLine);
  // Rows a power of two apart share cache sets: a column of them would not fit.
  if (plan.leading * s.item % 1024 == 0) plan.leading += kLine;
  const int64_t flags = plan.leading / 8;  // bytes a row: one bit a pair
  const int64_t packed = (s.rows + (s.self ? 0 : s.columns)) * (s.dim + 8) * s.item;
  const int64_t whole = round_up(s.rows, kLine) * (plan.leading * s.item + flags);
  if (s.self && whole <= kTriangleBytes) {
    plan.path = Path::kTriangle;
    plan.block_rows =
        std::min(s.rows < kManyFrom ? kTriangleRows : kManyTriangleRows, round_up(s.rows, kLine));
    plan.workspace_bytes = whole;
    plan.why =
        "the gallery is the batch and its coefficients fit in 128 MiB: half a Gram matrix, one "
        "product";
  } else {
    plan.path = Path::kStreaming;
    const int64_t fit = kStreamingBytes / (plan.leading * s.item) / kLine * kLine;
    plan.block_rows = std::clamp(fit, kLine, kStreamingRows);
    plan.block_rows = std::min(plan.block_rows, s.rows);
    plan.workspace_bytes = plan.block_rows * (plan.leading * s.item + flags);
    plan.why = s.self ? "the coefficients of the batch exceed 128 MiB: a block of rows at a time"
                      : "queries against a gallery: a block of rows at a time";
  }
  plan.workspace_bytes += packed;
  return plan;
}

}  // namespace drsl
