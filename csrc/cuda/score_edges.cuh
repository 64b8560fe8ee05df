#pragma once
// Where the ramps of the positives begin and end (core/scores/edges.h), and which piece between two
// edges each entry lies in. All comparisons are in double, where scores and edges are exact enough
// for no entry to be on the wrong side.
#include "core/scores/ramp.h"
#include "cuda/score_sort.cuh"

namespace drsl::cuda {

// What is known of positive i by itself.
template <class T>
__device__ __forceinline__ void arrange_positive(const Row<T>& row, int i, int from, double score) {
  const ScoreTask<T>& task = row.task;
  const ScoreSpace<T>& space = task.space;
  const int column = row(space.column)[from];
  row(space.score)[i] = score;
  row(space.from_left)[i] = from;
  row(space.place)[from] = i;
  double value = 0;
  if (task.loss == ScoreLoss::kRankSort) value = 1 - double(row.targets()[column]);
  if (task.loss == ScoreLoss::kAlrp) {
    const int64_t first = row.set * task.regressions, at = task.by_column ? column : from;
    value = double(task.regression[first + at]);
    task.order[first + i] = at;
    const bool finite = fabs(value) <= std::numeric_limits<double>::max();
    if (!finite) atomicOr(&row(space.head)->nonfinite, 1);
    value = finite ? value : 0;
  }
  row(space.value)[i] = value;
}

// A bad row has no order but that from left to right.
template <class T>
__device__ __forceinline__ void leave_unordered(const Row<T>& row, int found) {
  const ScoreTask<T>& task = row.task;
  const int64_t first = row.set * task.regressions;
  const Chunk chunk(task.by_column ? found : task.regressions);
  for (int i = chunk.first + int(threadIdx.x); i < chunk.end; i += kScoreThreads) {
    const int at = task.by_column ? row(task.space.column)[i] : i;
    task.order[first + i] = at;
    task.rank[first + at] = std::numeric_limits<T>::quiet_NaN();
  }
}

__device__ __forceinline__ double finite_edge(double x) {
  constexpr double most = std::numeric_limits<double>::max();
  return x < -most ? -most : x > most ? most : x;
}

// Windows and edges of positive i.
template <class T>
__device__ __forceinline__ void locate_ramp(const Row<T>& row, int n, int i) {
  const ScoreSpace<T>& space = row.task.space;
  const auto* const key = sorted_scores(row, n).key;
  const double delta = row.task.delta, own = double(number_of<T>(key[i]));
  const double begin = own - delta, end = end_of_ramp(own, delta);
  const bool hard = row.hard();
  const int all[4] = {n, n, hard ? 0 : n, hard ? 0 : n};
  int ahead[4];
  count_together(n, all, ahead, [=](int which, int k) {
    const double s = double(number_of<T>(key[k]));
    if (which == 0) return s < begin;
    if (which == 1) return hard ? s <= end : s < end;
    // of equal edges those come first where a ramp begins
    return which == 2 ? end_of_ramp(s, delta) < begin : s - delta <= end;
  });
  row(space.low)[i] = ahead[0];
  row(space.high)[i] = ahead[1];
  if (hard) {
    row(space.start)[i] = row(space.full)[i] = row(space.ended)[i + 1] = i + 1;
    row(space.edge)[i] = own;
    return;
  }
  const int start = i + 1 + ahead[2], full = i + 1 + ahead[3];
  row(space.start)[i] = start;
  row(space.full)[i] = full;
  row(space.edge)[start - 1] = finite_edge(begin);
  row(space.edge)[full - 1] = finite_edge(end);
  row(space.ended)[start] = ahead[2];
  row(space.ended)[full] = i + 1;
}

// grid: chunks, sets
template <class T>
__global__ void __launch_bounds__(kScoreThreads, 4) locate_positives(const ScoreTask<T> task) {
  const Row<T> row(task);
  const ScoreSpace<T>& space = task.space;
  const ScoreHead head = row.head();
  const int n = head.n;
  if (head.bad && task.loss == ScoreLoss::kAlrp) leave_unordered(row, head.found);
  const auto sorted = sorted_scores(row, n);
  const Chunk chunk(n);
#pragma unroll 1
  for (int i = chunk.first + int(threadIdx.x); i < chunk.end; i += kScoreThreads) {
    arrange_positive(row, i, sorted.item[i], double(number_of<T>(sorted.key[i])));
    locate_ramp(row, n, i);
    for (int m = 2 * i; m <= 2 * i + (i == n - 1 ? 2 : 1); ++m) {
      row(space.amount)[m] = 0;
      row(space.moment)[m] = 0;
    }
    if (i == 0) row(space.ended)[0] = 0;
  }
}

// Where the positives stand by target, and how many have a smaller one.
template <class T>
__device__ __forceinline__ void locate_targets(const Row<T>& row, int n) {
  const ScoreSpace<T>& space = row.task.space;
  const auto sorted = sorted_targets(row, n);
  const auto* const key = sorted.key;
  const Chunk chunk(n);
#pragma unroll 1
  for (int i = chunk.first + int(threadIdx.x); i < chunk.end; i += kScoreThreads) {
    const auto own = key[i];
    const int at = row(space.place)[sorted.item[i]], all[2] = {n, n};
    int ahead[2];
    count_together(n, all, ahead,
                   [=](int which, int k) { return which == 0 ? key[k] < own : key[k] <= own; });
    row(space.by_rank)[i] = at;
    row(space.rank)[at] = i;
    row(space.below)[at] = ahead[0];
    row(space.upto)[at] = ahead[1];
  }
}

// Adds 1 and `moment` to piece m, for the lanes of a warp that have one. Early in training all
// negatives are in one piece, so lanes that agree add up first. Integers: any order gives the same.
__device__ __forceinline__ void add_to_pieces(bool have, int m, unsigned long long moment,
                                              uint32_t* amounts, unsigned long long* moments) {
  unsigned left = __ballot_sync(kAllLanes, have);
#pragma unroll 1
  for (int tries = 0; tries < 2 && left; ++tries) {
    const int common = __shfl_sync(kAllLanes, m, __ffs(int(left)) - 1);
    const bool agree = (left >> lane_index() & 1) && m == common;
    const unsigned alike = __ballot_sync(kAllLanes, agree);
    if (__popc(alike) < 8) break;
    const auto sum = warp_sum(agree ? moment : 0ull);
    if (lane_index() == 0) {
      atomicAdd(&amounts[common], unsigned(__popc(alike)));
      atomicAdd(&moments[common], sum);
    }
    left &= ~alike;
  }
  if (left >> lane_index() & 1) {
    atomicAdd(&amounts[m], 1u);
    if (moment) atomicAdd(&moments[m], moment);
  }
}

// The piece of every entry that takes part, and what negatives add to theirs; targets meanwhile.
// grid: chunks, sets, 2 if targets are sorted
template <class T>
__global__ void __launch_bounds__(kScoreThreads, 4) count_negatives(const ScoreTask<T> task) {
  __shared__ double splitter[kSplitters];
  const Row<T> row(task);
  const int n = row.head().n;
  if (n == 0) return;
  if (blockIdx.z == 1) {
    locate_targets(row, n);
    return;
  }
  const double* const edge = row(task.space.edge);
  const int edges = row.edges(n), stride = (edges + kSplitters - 1) / kSplitters;
  const int splitters = (edges + stride - 1) / stride;
  for (int k = int(threadIdx.x); k < splitters; k += kScoreThreads) splitter[k] = edge[k * stride];
  __syncthreads();
  uint32_t* const amounts = row(task.space.amount);
  unsigned long long* const moments = row(task.space.moment);
  const T *const score = row.scores(), *const target = row.targets();
  const Chunk chunk(task.columns);
#pragma unroll 1
  for (int first = chunk.first; first < chunk.end; first += kScoreThreads) {
    const int k = first + int(threadIdx.x);
    const T t = k < chunk.end ? target[k] : T(-1);
    int m = 0;
    unsigned long long moment = 0;
    if (t >= T(0)) {
      const double s = double(score[k]);
      const int part = count_ahead(splitters, [&](int x) { return splitter[x] <= s; });
      if (part > 0) {
        const int begin = (part - 1) * stride + 1;
        const int rest = min(stride - 1, edges - begin);
        m = begin + count_ahead(rest, [=](int x) { return edge[begin + x] <= s; });
        const double beyond = row.closed(s - edge[m - 1]);
        moment = static_cast<unsigned long long>(beyond * task.fixed + 0.5);
      }
    }
    if (k < chunk.end) row(task.space.piece)[k] = m;
    add_to_pieces(t == T(0) && m > 0, m, moment, amounts, moments);
  }
}

}  // namespace drsl::cuda
