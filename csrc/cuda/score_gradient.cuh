#pragma once
// The gradient by the scores. A negative in piece m is charged with Σ_i w_i H(s − s_i), which is a
// straight line within the piece; positives are given what their shares say and, by Rank & Sort,
// what mis-sorts them.
#include "cuda/score_shares.cuh"

namespace drsl::cuda {

// What the shares are summed up to, in two kernels: prefix sums over the weights, from the lowest
// positive up, and the table of what mis-sorted ones are charged with. grid: blocks, sets, 2 or 3:
// the losses, weights, and a table
template <class T>
__global__ void __launch_bounds__(kScoreThreads, 2)
    sum_shares(const ScoreTask<T> task, int blocks) {
  __shared__ TableShared<typename Sources<true, T>::Moments> shared;
  __shared__ WeightSum parts[kScoreWarps];
  __shared__ double of_warp[2][kScoreWarps];
  const Row<T> row(task);
  const int n = row.head().n;
  if (blockIdx.z == 0) {
    if (blockIdx.x == 0) finish_losses(row, blocks, of_warp);
  } else if (n > 0 && blockIdx.z == 1) {
    sum_chunk(Chunk(n), parts, row(task.space.weights_tile), WeightValue<T>(row));
  } else if (n > 0) {
    fill_table<true>(row, n, shared);
  }
}

// grid: blocks, sets, 1 or 2: weights, and a table
template <class T>
__global__ void __launch_bounds__(kScoreThreads, 2) scan_shares(const ScoreTask<T> task) {
  __shared__ WeightSum parts[kScoreWarps], before;
  const Row<T> row(task);
  const int n = row.head().n;
  if (n == 0) return;
  WeightSum* const weights = row(task.space.weights);
  if (blockIdx.z == 0)
    scan_chunk(Chunk(n), parts, before, row(task.space.weights_tile), WeightValue<T>(row),
               [=](int i, const WeightSum& sum) { weights[i] = sum; });
  else
    sum_table<2>(row, n);
}

// The lines of the pieces.
template <class T>
__device__ __forceinline__ void charge_pieces(const Row<T>& row, int n) {
  const ScoreSpace<T>& space = row.task.space;
  const WeightSum* const weights = row(space.weights);
  const auto before = [=](int k) { return k > 0 ? weights[k - 1] : WeightSum{}; };
  const Chunk chunk(row.edges(n) + 1);
#pragma unroll 1
  for (int m = chunk.first + int(threadIdx.x); m < chunk.end; m += kScoreThreads) {
    const int ended = row(space.ended)[m], begun = row.hard() ? m : m - ended;
    const WeightSum full = before(ended), any = before(begun);
    Charge line{full.weight, 0};
    if (begun > ended) {
      const double sums[2][2] = {{full.weight, -full.moment}, {any.weight, -any.moment}};
      line.base = window(-row(space.above)[m].depth, 1, sums[0], sums[1]);
      line.rise = any.weight - full.weight;
    }
    row(space.charge)[m] = line;
  }
}

// What positive i is charged with, and Rank & Sort's mis-sorted ones by a warp each.
template <class T>
__device__ __forceinline__ void charge_positives(const Row<T>& row, int n) {
  const ScoreSpace<T>& space = row.task.space;
  const bool sorting = row.task.loss == ScoreLoss::kRankSort;
  T* const gradient = row.task.gradient + row.set * row.task.columns;
  T* const apart = row.task.sorting_gradient;
  const int warps = int(gridDim.x) * kScoreWarps;
  const Sources<true, T> sources(row, n);
#pragma unroll 1
  for (int i = int(blockIdx.x) * kScoreWarps + warp_index(); i < n; i += warps) {
    double charge = 0;
    if (sorting) charge = sum_window<true>(row, sources, i).v[0] + row(space.sort_own)[i];
    if (lane_index() > 0) continue;
    const int column = row(space.column)[row(space.from_left)[i]];
    const double own = row(space.own)[i];
    gradient[column] = T(apart ? own : own + charge);
    if (apart) apart[row.set * row.task.columns + column] = T(charge);
  }
}

// grid: chunks, sets, 2: pieces, positives
template <class T>
__global__ void __launch_bounds__(kScoreThreads, 4) charge(const ScoreTask<T> task) {
  const Row<T> row(task);
  const int n = row.head().n;
  if (n == 0) return;
  if (blockIdx.z == 0)
    charge_pieces(row, n);
  else
    charge_positives(row, n);
}

// All that are no positives of a good row. grid: chunks, sets
template <class T>
__global__ void __launch_bounds__(kScoreThreads, 4) write_gradient(const ScoreTask<T> task) {
  const Row<T> row(task);
  const ScoreHead head = row.head();
  const ScoreSpace<T>& space = task.space;
  const T *const score = row.scores(), *const target = row.targets();
  T* const gradient = task.gradient + row.set * task.columns;
  T* const apart = task.sorting_gradient ? task.sorting_gradient + row.set * task.columns : nullptr;
  const Chunk chunk(task.columns);
#pragma unroll 4
  for (int k = chunk.first + int(threadIdx.x); k < chunk.end; k += kScoreThreads) {
    const T t = target[k];
    if (head.n > 0 && t > T(0)) continue;
    double out = 0, by_sorting = 0;
    if (head.bad) {
      const bool masked = t == T(0) && score[k] == -std::numeric_limits<T>::infinity();
      out = by_sorting = t < T(0) || masked ? 0 : NAN;
    } else if (head.n > 0) {
      const int m = row(space.piece)[k];
      if (m > 0 && t == T(0)) {
        const Charge line = row(space.charge)[m];
        out = line.base + line.rise * row.closed(double(score[k]) - row(space.edge)[m - 1]);
      }
    }
    gradient[k] = T(out);
    if (apart) apart[k] = T(by_sorting);
  }
}

}  // namespace drsl::cuda
