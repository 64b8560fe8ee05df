#pragma once
// The errors of the positives, from the sums that each sees, and what it and its causes are charged
// with (core/scores/shares.h). Weights and charges are of the mean over the positives.
#include "core/scores/shares.h"
#include "cuda/score_table.cuh"

namespace drsl::cuda {

// N_FP(i) = Σ_{j∈N} H(s_j − s_i)
template <class T>
__device__ __forceinline__ double negatives_seen(const Row<T>& row, int i) {
  const PieceSum* const above = row(row.task.space.above);
  const PieceSum hi = above[row(row.task.space.start)[i]], lo = above[row(row.task.space.full)[i]];
  if (hi.amount == lo.amount) return lo.amount;  // none on the ramp
  const double hi_sums[2] = {hi.amount, hi.moment}, lo_sums[2] = {lo.amount, lo.moment};
  return max(window(depth_of(row, i), 1, lo_sums, hi_sums), 0.0);
}

struct PositivesSeen {
  double rank, value;  // Σ_{j∈P} H(s_j − s_i) (1, v_j), i itself counted as H(0)
};
template <class T>
__device__ __forceinline__ PositivesSeen positives_seen(const Row<T>& row, int n, int i) {
  const PositiveSum* const ahead = row(row.task.space.ahead);
  const int hi = n - row(row.task.space.low)[i];
  const int lo = row.hard() ? hi : n - row(row.task.space.high)[i];
  const PositiveSum to_hi = ahead[hi - 1], to_lo = lo > 0 ? ahead[lo - 1] : PositiveSum{};
  const double hi_sums[4] = {to_hi.count, to_hi.moment, to_hi.value, to_hi.value_moment};
  const double lo_sums[4] = {to_lo.count, to_lo.moment, to_lo.value, to_lo.value_moment};
  const double at = row(row.task.space.depth)[i];
  return {window(at, 1, lo_sums, hi_sums), window(at, 1, lo_sums + 2, hi_sums + 2)};
}

// Rank & Sort, a warp a positive. grid: chunks, sets
template <class T>
__global__ void __launch_bounds__(kScoreThreads, 4) share_rank_sort(const ScoreTask<T> task) {
  __shared__ double parts[2][kScoreWarps];
  const Row<T> row(task);
  const ScoreSpace<T>& space = task.space;
  const int n = row.head().n, warps = int(gridDim.x) * kScoreWarps;
  double ranking_error = 0, sorting_error = 0;
  if (n > 0) {
    const Sources<false, T> sources(row, n);
    const double mean = 1 / double(n);
#pragma unroll 1
    for (int i = int(blockIdx.x) * kScoreWarps + warp_index(); i < n; i += warps) {
      const auto seen = positives_seen(row, n, i);
      const auto worse = sum_window<false>(row, sources, i);
      const auto ranking = ranking_share(negatives_seen(row, i), seen.rank);
      const auto sorting = sorting_share(seen.rank, seen.value, worse.v[0], worse.v[1]);
      ranking_error += mean * ranking.error;
      sorting_error += mean * sorting.error;
      if (lane_index() > 0) continue;
      row(space.weight)[i] = mean * ranking.weight;
      row(space.own)[i] = -mean * ranking.own;
      row(space.sort_weight)[i] = mean * sorting.weight;
      row(space.sort_own)[i] = -mean * sorting.own;
    }
  }
  if (lane_index() == 0) {
    parts[0][warp_index()] = ranking_error;
    parts[1][warp_index()] = sorting_error;
  }
  __syncthreads();
  if (threadIdx.x >= 2) return;
  double sum = 0;
  for (int w = 0; w < kScoreWarps; ++w) sum += parts[threadIdx.x][w];
  row(space.part)[threadIdx.x * gridDim.x + blockIdx.x] = sum;
}

struct LeastValue {
  const double *false_positives, *seen;
  __device__ __forceinline__ LeastSum operator()(int i) const {
    return {false_positives[i] / (seen[i] + false_positives[i]), 1};
  }
};

// AP and aLRP: what each positive sees, and the least error of the chunk. grid: chunks, sets
template <class T>
__global__ void __launch_bounds__(kScoreThreads, 2) see(const ScoreTask<T> task) {
  __shared__ LeastSum parts[kScoreWarps];
  const Row<T> row(task);
  const ScoreSpace<T>& space = task.space;
  const int n = row.head().n;
  if (n == 0) return;
  const bool nonfinite = row.head().nonfinite != 0;
  const double self =
      row.hard() ? 1.0 : 0.5;  // H(0): i itself counts as 1, and not among those ahead
  const Chunk chunk(n);
#pragma unroll 1
  for (int i = chunk.first + int(threadIdx.x); i < chunk.end; i += kScoreThreads) {
    const auto seen = positives_seen(row, n, i);
    row(space.false_positives)[i] = negatives_seen(row, i);
    row(space.seen)[i] = seen.rank + 1 - self;
    row(space.own)[i] = nonfinite ? NAN : seen.value - self * row(space.value)[i];
  }
  __syncthreads();
  if (task.loss == ScoreLoss::kAp && task.interpolated)
    sum_chunk(chunk, parts, row(space.least_tile),
              LeastValue{row(space.false_positives), row(space.seen)});
}

template <class T>
__device__ __forceinline__ double keep_share(const Row<T>& row, double mean, int i,
                                             const Share<double>& share) {
  row(row.task.space.weight)[i] = mean * share.weight;
  row(row.task.space.own)[i] = -mean * share.own;
  return mean * share.error;
}

// grid: chunks, sets
template <class T>
__global__ void __launch_bounds__(kScoreThreads, 2) share_ap(const ScoreTask<T> task) {
  __shared__ LeastSum parts[kScoreWarps], before;
  __shared__ double of_warp[kScoreWarps];
  const Row<T> row(task);
  const ScoreSpace<T>& space = task.space;
  const int n = row.head().n;
  const double *const fp = row(space.false_positives), *const seen = row(space.seen);
  const double mean = 1 / double(n);
  double loss = 0;
  if (n > 0) {
    const Chunk chunk(n);
    if (task.interpolated)
      scan_chunk(chunk, parts, before, row(space.least_tile), LeastValue{fp, seen},
                 [&](int i, const LeastSum& upto) {
                   loss += keep_share(row, mean, i, ap_share(fp[i], seen[i], upto.least));
                 });
    else
      for (int i = chunk.first + int(threadIdx.x); i < chunk.end; i += kScoreThreads)
        loss += keep_share(row, mean, i, ap_share(fp[i], seen[i], double(INFINITY)));
  }
  loss = block_sum<kScoreThreads>(loss, of_warp);
  if (threadIdx.x == 0) row(space.part)[blockIdx.x] = loss;
}

// grid: chunks, sets
template <class T>
__global__ void __launch_bounds__(kScoreThreads, 2) share_alrp(const ScoreTask<T> task) {
  __shared__ double of_warp[kScoreWarps];
  const Row<T> row(task);
  const ScoreSpace<T>& space = task.space;
  const int n = row.head().n;
  const Chunk chunk(n);
  const double mean = 1 / double(n);
  double loss = 0;
  for (int i = chunk.first + int(threadIdx.x); i < chunk.end; i += kScoreThreads) {
    const double fp = row(space.false_positives)[i], seen = row(space.seen)[i];
    loss += keep_share(row, mean, i, alrp_share(fp, seen, row(space.own)[i]));
    const int from = row(space.from_left)[i];
    const int at = task.by_column ? row(space.column)[from] : from;
    task.rank[row.set * task.regressions + at] = T(seen + fp);
  }
  loss = block_sum<kScoreThreads>(loss, of_warp);
  if (threadIdx.x == 0) row(space.part)[blockIdx.x] = loss;
}

// The parts of `blocks` blocks in order, by one block.
template <class T>
__device__ __forceinline__ void finish_losses(const Row<T>& row, int blocks,
                                              double (&of_warp)[2][kScoreWarps]) {
  const ScoreHead head = row.head();
#pragma unroll
  for (int which = 0; which < 2; ++which) {
    T* const out = which ? row.task.sorting : row.task.ranking;
    if (!out) continue;
    double sum = 0;
    for (int b = int(threadIdx.x); b < blocks; b += kScoreThreads)
      sum += row(row.task.space.part)[which * blocks + b];
    sum = block_sum<kScoreThreads>(sum, of_warp[which]);
    if (threadIdx.x == 0) out[row.set] = head.bad ? T(NAN) : T(sum);
  }
}

}  // namespace drsl::cuda
