// The kernels of a loss on scores, one after the other. Nothing waits: how many positives there
// are, and whether a row is one of numbers, the kernels find out.
#include <algorithm>

#include "cuda/runtime.h"
#include "cuda/score_collect.cuh"
#include "cuda/score_edges.cuh"
#include "cuda/score_gradient.cuh"

namespace drsl::cuda {

int64_t score_blocks(int64_t columns) {
  return std::clamp<int64_t>((columns + kScoreChunk - 1) / kScoreChunk, 1, kScoreBlocks);
}

namespace {

int64_t table_side(int64_t columns) {
  return std::clamp<int64_t>((columns + (1 << kTableBits) - 1) >> kTableBits, 1, kTableSide);
}

}  // namespace

int64_t score_table_numbers(int64_t columns) {
  const int64_t side = table_side(columns);
  return 4 * side * (side + 1);
}

template <class T>
ScoreSpace<T>::ScoreSpace(int64_t columns, bool sorting, Pieces& pieces) {
  const int64_t n = columns, edges = 2 * n, blocks = score_blocks(columns);
  const int64_t sorted = sorting ? n : 0;
  const auto keys = [&](int64_t count) {
    Key* const key = pieces.take<Key>(count);
    return SortBuffer<Key>{key, pieces.take<int32_t>(count)};
  };
  head = pieces.take<ScoreHead>(1);
  found = pieces.take<Found>(blocks);
  score_key0 = keys(n), score_key1 = keys(n);
  target_key0 = keys(sorted), target_key1 = keys(sorted);
  for (int32_t** each : {&column, &from_left, &place, &low, &high, &start, &full, &piece})
    *each = pieces.take<int32_t>(n);
  for (int32_t** each : {&rank, &by_rank, &below, &upto}) *each = pieces.take<int32_t>(sorted);
  for (double** each : {&score, &value, &depth, &false_positives, &seen, &own, &weight})
    *each = pieces.take<double>(n);
  for (double** each : {&sort_own, &sort_weight}) *each = pieces.take<double>(sorted);
  edge = pieces.take<double>(edges);
  ended = pieces.take<int32_t>(edges + 1);
  amount = pieces.take<uint32_t>(edges + 1);
  moment = pieces.take<unsigned long long>(edges + 1);
  above = pieces.take<PieceSum>(edges + 1), above_tile = pieces.take<PieceSum>(blocks);
  ahead = pieces.take<PositiveSum>(n), ahead_tile = pieces.take<PositiveScan>(blocks);
  weights = pieces.take<WeightSum>(n), weights_tile = pieces.take<WeightSum>(blocks);
  least_tile = pieces.take<LeastSum>(blocks);
  part = pieces.take<double>(2 * blocks);
  charge = pieces.take<Charge>(edges + 1);
  table = pieces.take<double>(sorting ? score_table_numbers(columns) : 0);
}

namespace {

// Grids of (x, sets, z) blocks.
template <class T>
struct Launcher {
  const ScoreTask<T>& task;
  unsigned sets;
  cudaStream_t stream;

  template <class... A>
  void operator()(const char* name, void (*kernel)(const ScoreTask<T>, A...), int64_t x, unsigned z,
                  std::type_identity_t<A>... rest) const {
    DRSL_LAUNCH(kernel, dim3(unsigned(x), sets, z), dim3(kScoreThreads), 0, stream, task, rest...);
    check_launch(name);
  }
};

template <class T>
void sort_positives(const Launcher<T>& launch, int64_t columns, unsigned orders) {
  const int64_t blocks = score_blocks(columns);
  launch("sort_tiles", sort_tiles<T>,
         std::clamp<int64_t>((columns + kScoreTile - 1) / kScoreTile, 1, blocks), orders);
  bool one = false;
  for (int64_t run = kScoreTile; run < columns; run *= kMergeRuns, one = !one)
    launch("merge_runs", merge_runs<T>, blocks, orders, run, one);
}

}  // namespace

template <class T>
void score_losses(const ScoreTask<T>& task, int64_t sets, cudaStream_t stream) {
  const Launcher<T> launch{task, unsigned(sets), stream};
  const int64_t blocks = score_blocks(task.columns);
  const bool sorting = task.loss == ScoreLoss::kRankSort;
  launch("find_positives", find_positives<T>, blocks, 1);
  launch("collect_positives", collect_positives<T>, blocks, 1);
  sort_positives(launch, task.columns, sorting ? 2 : 1);
  launch("locate_positives", locate_positives<T>, blocks, 1);
  launch("count_negatives", count_negatives<T>, blocks, sorting ? 2 : 1);
  launch("sum_chunks", sum_chunks<T>, blocks, 2);
  launch("scan_chunks", scan_chunks<T>, blocks, 2);
  if (sorting) {
    launch("fill_table_of_errors", fill_table_of_errors<T>, blocks, 1);
    launch("sum_table_of_errors", sum_table_of_errors<T>, blocks, 1);
    launch("share_rank_sort", share_rank_sort<T>, blocks, 1);
  } else {
    launch("see", see<T>, blocks, 1);
    launch("share", task.loss == ScoreLoss::kAp ? share_ap<T> : share_alrp<T>, blocks, 1);
  }
  const bool gradient = task.gradient != nullptr;  // or the losses alone
  launch("sum_shares", sum_shares<T>, gradient ? blocks : 1,
         !gradient ? 1
         : sorting ? 3
                   : 2,
         int(blocks));
  if (!gradient) return;
  launch("scan_shares", scan_shares<T>, blocks, sorting ? 2 : 1);
  launch("charge", charge<T>, blocks, 2);
  launch("write_gradient", write_gradient<T>, blocks, 1);
}

template struct ScoreSpace<float>;
template struct ScoreSpace<double>;
template void score_losses(const ScoreTask<float>&, int64_t, cudaStream_t);
template void score_losses(const ScoreTask<double>&, int64_t, cudaStream_t);

}  // namespace drsl::cuda
