#pragma once
// Keys in ascending order, items along, stable, by the blocks of a grid: each block sorts tiles,
// then kMergeRuns sorted runs become one at a time. An element's place is its own in its run plus,
// for each other run, how many there go before it, a binary search. Neighbours look for nearly the
// same, so the lanes of a warp read the same lines. Passes beyond what n needs do nothing: where
// the order ends up follows from n.
#include "cuda/score_task.cuh"

namespace drsl::cuda {

// first[r] = count_ahead(n[r], x ↦ ahead(r, x)), n[r] ≤ most: loads do not wait for those of
// another r.
template <int K, class Ahead>
__device__ __forceinline__ void count_together(int64_t most, const int (&n)[K], int (&first)[K],
                                               Ahead ahead) {
#pragma unroll
  for (int r = 0; r < K; ++r) first[r] = 0;
  int64_t step = 1;
  while (step * 2 <= most) step *= 2;
#pragma unroll 1
  for (; step > 0; step /= 2) {
#pragma unroll
    for (int r = 0; r < K; ++r) {
      const int64_t next = first[r] + step;
      if (next <= n[r] && ahead(r, int(next - 1))) first[r] = int(next);
    }
  }
}

// Buffer 0 or 1 holds the order of n keys.
__device__ __forceinline__ bool ends_in_one(int n) {
  bool one = false;
  for (int64_t run = kScoreTile; run < n; run *= kMergeRuns) one = !one;
  return one;
}
template <class T>
__device__ __forceinline__ SortBuffer<KeyOf<T>> sorted_scores(const Row<T>& row, int n) {
  return row(ends_in_one(n) ? row.task.space.score_key1 : row.task.space.score_key0);
}
template <class T>
__device__ __forceinline__ SortBuffer<KeyOf<T>> sorted_targets(const Row<T>& row, int n) {
  return row(ends_in_one(n) ? row.task.space.target_key1 : row.task.space.target_key0);
}

// grid: tiles, sets, 1 or 2: also by target
template <class T>
__global__ void __launch_bounds__(kScoreThreads, 4) sort_tiles(const ScoreTask<T> task) {
  using Key = KeyOf<T>;
  __shared__ Key key[2][kScoreTile];
  __shared__ int32_t item[2][kScoreTile];
  __shared__ SortShared shared;
  const Row<T> row(task);
  const int n = row.head().n;
  const auto keys = row(blockIdx.z ? task.space.target_key0 : task.space.score_key0);
#pragma unroll 1
  for (int64_t first = blockIdx.x * kScoreTile; first < n; first += gridDim.x * kScoreTile) {
    const int count = int(n - first < kScoreTile ? n - first : kScoreTile);
    SortBuffer<Key> from{key[0], item[0]}, to{key[1], item[1]};
    for (int k = int(threadIdx.x); k < count; k += kScoreThreads) {
      from.key[k] = keys.key[first + k];
      from.item[k] = int32_t(first) + k;
    }
    block_sort<true>(count, from, to, shared);
    for (int k = int(threadIdx.x); k < count; k += kScoreThreads) {
      keys.key[first + k] = from.key[k];
      keys.item[first + k] = from.item[k];
    }
  }
}

// Runs of length `run`; one: from buffer 1 to 0. grid: chunks, sets, 1 or 2: also by target
template <class T>
__global__ void __launch_bounds__(kScoreThreads, 4)
    merge_runs(const ScoreTask<T> task, int64_t run, bool one) {
  using Key = KeyOf<T>;
  const Row<T> row(task);
  const int n = row.head().n;
  if (run >= n) return;
  const ScoreSpace<T>& space = task.space;
  const auto keys0 = row(blockIdx.z ? space.target_key0 : space.score_key0);
  const auto keys1 = row(blockIdx.z ? space.target_key1 : space.score_key1);
  const SortBuffer<Key> from = one ? keys1 : keys0, to = one ? keys0 : keys1;
  const Chunk chunk(n);
#pragma unroll 1
  for (int k = chunk.first + int(threadIdx.x); k < chunk.end; k += kScoreThreads) {
    const int64_t own = k / run, group = own / kMergeRuns * kMergeRuns;
    const Key key = from.key[k];
    const Key* other[kMergeRuns];
    Key bound[kMergeRuns];
    int count[kMergeRuns], before[kMergeRuns];
#pragma unroll
    for (int r = 0; r < kMergeRuns; ++r) {
      const int64_t begin = (group + r) * run, rest = n - begin < run ? n - begin : run;
      other[r] = from.key + begin;
      bound[r] = key + (group + r < own);  // equal keys of runs before go first, too
      count[r] = group + r == own || rest < 0 ? 0 : int(rest);
    }
    count_together(run, count, before, [&](int r, int x) { return other[r][x] < bound[r]; });
    int64_t at = group * run + (k - own * run);
#pragma unroll
    for (int r = 0; r < kMergeRuns; ++r) at += before[r];
    to.key[at] = key;
    to.item[at] = from.item[k];
  }
}

}  // namespace drsl::cuda
