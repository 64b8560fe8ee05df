#pragma once
// Overwrites the pairs that pairwise.cuh flagged with what their rows say. A kernel of its own: near pairs
// may all lie in a few tiles, and every warp should have its share.
#include <cstdint>

#include "cuda/near_block.cuh"
#include "cuda/pairwise.cuh"

namespace drsl::cuda {

constexpr int kMendThreads = 128, kMendWarps = kMendThreads / 32;
constexpr int kFewNear = 2;  // of 4 × 4 pairs: mended one by one

template <class E>
struct Mender {
  using T = Accumulator<E>;
  const GramTask<E>& task;
  const PairOutput<E>& output;
  int64_t q0, k0;  // first row and column of the set, counted over all sets
  bool mirror;

  __device__ __forceinline__ void store(int64_t i, int64_t j, const Pair<T>& pair) const {
    const int64_t at = (q0 + i) * task.columns + j;
    output.distance[at] = pair.distance, output.cosine[at] = pair.cosine;
    if (!mirror) return;
    const int64_t mirrored = (q0 + j) * task.columns + i;
    output.distance[mirrored] = pair.distance, output.cosine[mirrored] = pair.cosine;
  }

  __device__ __forceinline__ void one(int64_t i, int64_t j) const {
    const int64_t q = q0 + i, k = k0 + j;
    const Norms<T>&x = output.x, &r = output.r;
    const Pair<T> pair = exact_pair(task.x + q * task.dim, x.norm[q], x.inverse[q],
                                    task.r + k * task.dim, r.norm[k], r.inverse[k], task.dim);
    if (lane_index() == 0) store(i, j, pair);
  }

  // The pairs of 2 × 4 that have their bit set.
  __device__ __forceinline__ void block(unsigned bits, int64_t row, int64_t column) const {
    const int64_t D = task.dim;
    const Norms<T>&x = output.x, &r = output.r;
    const BlockSide<E, T, kBlockDown> own(task.x + q0 * D, x.norm + q0, x.inverse + q0, row,
                                          task.rows, D);
    const BlockSide<E, T, kBlockAcross> other(task.r + k0 * D, r.norm + k0, r.inverse + k0, column,
                                              task.columns, D);
    const Pair<T> pair = exact_block(own, other, D);
    const int p = lane_index() / 2;
    if (lane_index() % 2 == 0 && p < kBlockPairs && (bits >> p & 1))
      store(row + p / kBlockAcross, column + p % kBlockAcross, pair);
  }

  // Of 4 × 4 pairs.
  __device__ __forceinline__ void operator()(unsigned bits, int64_t row, int64_t column) const {
    if (__popc(bits) > kFewNear) {
#pragma unroll 1
      for (int half = 0; half < 2; ++half, bits >>= kBlockPairs)
        if (bits & 0xff) block(bits, row + half * kBlockDown, column);
    } else {
      for (; bits; bits &= bits - 1) {
        const int p = __ffs(int(bits)) - 1;
        one(row + p / 4, column + p % 4);
      }
    }
  }
};

// grid.x: turns at the rows of 4 × 4 pairs of all sets.
template <class E>
__global__ void __launch_bounds__(kMendThreads, sizeof(E) == 8 ? 2 : 4)
    mend_pairs(const GramTask<E> task, const PairOutput<E> output) {
  const int64_t down = (task.rows + 3) / 4, across = (task.columns + 3) / 4;
  const int64_t lines = (across + 31) / 32, pieces = task.sets * down * lines;
  const int64_t stride = int64_t(gridDim.x) * kMendWarps;
  for (int64_t p = int64_t(blockIdx.x) * kMendWarps + warp_index(); p < pieces; p += stride) {
    const int64_t line = p % lines, row = p / lines, set = row / down, i = row % down;
    const int64_t j = line * 32 + lane_index();
    const bool asked = j < across && (!task.symmetric || i <= j);
    const unsigned bits = asked ? output.near[row * across + j] : 0;
    const Mender<E> mend{task, output, set * task.rows, set * task.columns, task.symmetric};
    for (unsigned left = __ballot_sync(kAllLanes, bits != 0); left; left &= left - 1) {
      const int lane = __ffs(int(left)) - 1;
      mend(__shfl_sync(kAllLanes, bits, lane), i * 4, (line * 32 + lane) * 4);
    }
  }
}

}  // namespace drsl::cuda
