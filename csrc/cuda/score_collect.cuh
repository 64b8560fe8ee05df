#pragma once
// Positives of a row, from left to right, in two kernels: how many there are in each chunk, and
// where each goes. Whether all that takes part is a number comes along.
#include "cuda/score_task.cuh"

namespace drsl::cuda {

// grid: chunks, sets
template <class T>
__global__ void __launch_bounds__(kScoreThreads, 4) find_positives(const ScoreTask<T> task) {
  __shared__ int parts[kScoreWarps];
  const Row<T> row(task);
  const Chunk chunk(task.columns);
  const T *const score = row.scores(), *const target = row.targets();
  constexpr T infinity = std::numeric_limits<T>::infinity();
  int count = 0, bad = 0;
#pragma unroll 4
  for (int k = chunk.first + int(threadIdx.x); k < chunk.end; k += kScoreThreads) {
    const T t = target[k], s = score[k];
    count += t > T(0);
    bad |= int(!(t < infinity)) | (int(t >= T(0)) & int(!(s < infinity))) |
           (int(t > T(0)) & int(!(s > -infinity)));
  }
  bad = __syncthreads_or(bad);
  count = block_sum<kScoreThreads>(count, parts);
  if (threadIdx.x == 0) row(task.space.found)[blockIdx.x] = {count, bad};
}

// Positives before the block's chunk. Block 0 writes the head of the row.
template <class T>
__device__ __forceinline__ int positives_before(const Row<T>& row, int (&parts)[2][kScoreWarps]) {
  const Found* const found = row(row.task.space.found);
  int before = 0, all = 0, bad = 0;
  for (unsigned b = threadIdx.x; b < gridDim.x; b += kScoreThreads) {
    before += b < blockIdx.x ? found[b].positives : 0;
    all += found[b].positives;
    bad |= found[b].bad;
  }
  before = block_sum<kScoreThreads>(before, parts[0]);
  all = block_sum<kScoreThreads>(all, parts[1]);
  bad = __syncthreads_or(bad) && all > 0;
  if (blockIdx.x == 0 && threadIdx.x == 0) {
    if (row.task.loss == ScoreLoss::kAlrp && !row.task.by_column)
      bad |= all != row.task.regressions;  // the host does not know how many there should be
    *row(row.task.space.head) = {bad ? 0 : all, all, bad, 0};
  }
  return before;
}

// grid: chunks, sets, as above
template <class T>
__global__ void __launch_bounds__(kScoreThreads, 4) collect_positives(const ScoreTask<T> task) {
  __shared__ int parts[2][kScoreWarps], of_warp[2][kScoreWarps];
  const Row<T> row(task);
  const Chunk chunk(task.columns);
  int at = positives_before(row, parts);
  int32_t* const column = row(task.space.column);
  const auto by_score = row(task.space.score_key0).key, by_target = row(task.space.target_key0).key;
  const bool sorting = task.loss == ScoreLoss::kRankSort;
  const T *const score = row.scores(), *const target = row.targets();
  bool odd = false;  // rounds take turns at of_warp, so that one barrier is enough
#pragma unroll 1
  for (int first = chunk.first; first < chunk.end; first += kScoreThreads, odd = !odd) {
    const int k = first + int(threadIdx.x);
    const T t = k < chunk.end ? target[k] : T(0);
    const unsigned positive = __ballot_sync(kAllLanes, t > T(0));
    if (lane_index() == 0) of_warp[odd][warp_index()] = __popc(positive);
    __syncthreads();
    int all = 0, before = 0;
#pragma unroll
    for (int w = 0; w < kScoreWarps; ++w) {
      before += w < warp_index() ? of_warp[odd][w] : 0;
      all += of_warp[odd][w];
    }
    if (t > T(0)) {
      const int to = at + before + __popc(positive & ((1u << lane_index()) - 1));
      column[to] = k;
      by_score[to] = key_of(score[k]);
      if (sorting) by_target[to] = key_of(t);
    }
    at += all;
  }
}

}  // namespace drsl::cuda
