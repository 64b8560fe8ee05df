#pragma once
// A few rows against many terms are too few tiles for a GPU: each tile's terms are then dealt to several
// blocks, which add up a gradient each, and these are added in order. Decided from shapes alone.
#include <algorithm>
#include <cstdint>

namespace drsl::cuda {

constexpr int64_t kSplitGrid = 264;  // blocks to reach: two for each multiprocessor of a large GPU
// Terms that a block goes through at least: no fewer than are added up at once (kFlush). On host threads
// they are so few that tests go this way.
#if defined(DRSL_CUDA_ON_HOST)
constexpr int64_t kSplitTerms = 512;
#else
constexpr int64_t kSplitTerms = 2048;
#endif
constexpr int64_t kMostSplits = 32;
constexpr int64_t kSplitTile = 128;  // rows and dimensions of the largest tile

// Gradients that are added up: 1, or more. Never more of them for fewer terms.
inline int64_t redistribute_splits(int64_t rows, int64_t dim, int64_t terms) {
  const int64_t blocks =
      ((rows + kSplitTile - 1) / kSplitTile) * ((dim + kSplitTile - 1) / kSplitTile);
  if (blocks == 0 || 2 * blocks > kSplitGrid) return 1;
  return std::clamp<int64_t>((kSplitGrid + blocks - 1) / blocks, 1,
                             std::clamp<int64_t>(terms / kSplitTerms, 1, kMostSplits));
}

// Numbers of the workspace.
inline int64_t split_numbers(int64_t rows, int64_t dim, int64_t terms) {
  const int64_t splits = redistribute_splits(rows, dim, terms);
  return splits > 1 ? splits * rows * dim : 0;
}

}  // namespace drsl::cuda
