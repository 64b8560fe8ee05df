#pragma once
// Prefix sums over pieces and positives, in two kernels each: what a chunk adds up to, and from all
// chunks before a block's own the sums within it. The order of additions follows from n alone.
#include "core/window.h"
#include "cuda/block_scan.cuh"
#include "cuda/score_task.cuh"

namespace drsl::cuda {

// tile[b] = what the block's chunk adds up to
template <class Scan, class Value>
__device__ __forceinline__ void sum_chunk(const Chunk& chunk, Scan* parts, Scan* tile,
                                          Value value) {
  const int last = chunk.count() - 1;
  if (last < 0 && threadIdx.x == 0) tile[blockIdx.x] = Scan{};
  block_scan<kScoreThreads>(
      chunk.count(), parts, [&](int k) { return value(chunk.first + k); },
      [&](int k, const Scan& sum) {
        if (k == last) tile[blockIdx.x] = sum;
      });
}

// store(k, value(0) + … + value(k)) for k in the block's chunk
template <class Scan, class Value, class Store>
__device__ __forceinline__ void scan_chunk(const Chunk& chunk, Scan* parts, Scan& before,
                                           const Scan* tile, Value value, Store store) {
  const int tiles = int(blockIdx.x);
  if (chunk.count() == 0) return;
  if (threadIdx.x == 0) before = Scan{};
  block_scan<kScoreThreads>(
      tiles, parts, [&](int b) { return tile[b]; },
      [&](int b, const Scan& sum) {
        if (b == tiles - 1) before = sum;
      });
  const Scan all_before = before;
  block_scan<kScoreThreads>(
      chunk.count(), parts, [&](int k) { return value(chunk.first + k); },
      [&](int k, const Scan& sum) { store(chunk.first + k, all_before.then(sum)); });
}

// The k-th piece from above: piece `edges` − k.
template <class T>
struct PieceValue {
  const double* edge;
  const uint32_t* amount;
  const unsigned long long* moment;
  Row<T> row;
  int edges;
  double unit;

  __device__ __forceinline__ PieceValue(const Row<T>& row, int n)
      : edge(row(row.task.space.edge)),
        amount(row(row.task.space.amount)),
        moment(row(row.task.space.moment)),
        row(row),
        edges(row.edges(n)),
        unit(1 / row.task.fixed) {}
  __device__ __forceinline__ PieceSum operator()(int k) const {
    const int m = edges - k;
    const double width = k == 0 ? 0 : row.closed(edge[m] - edge[m - 1]), count = amount[m];
    return {count, count * width - double(moment[m]) * unit, width};
  }
};

// The k-th positive from above: n − 1 − k.
template <class T>
struct PositiveValue {
  const double *score, *value;
  Row<T> row;
  int n;

  __device__ __forceinline__ PositiveValue(const Row<T>& row, int n)
      : score(row(row.task.space.score)), value(row(row.task.space.value)), row(row), n(n) {}
  __device__ __forceinline__ PositiveScan operator()(int k) const {
    const int i = n - 1 - k;
    const double width = k == 0 ? 0 : row.closed(score[i + 1] - score[i]), v = value[i];
    return {{1, width, v, v * width}, width};
  }
};

// Where positive i stands among the pieces.
template <class T>
__device__ __forceinline__ double depth_of(const Row<T>& row, int i) {
  const ScoreSpace<T>& space = row.task.space;
  const int home = row(space.piece)[row(space.column)[row(space.from_left)[i]]];
  const double beyond = row(space.score)[i] - row(space.edge)[home - 1];
  return row(space.above)[home].depth - row.closed(beyond);
}

template <class T>
struct WeightValue {
  Row<T> row;
  const double* weight;

  __device__ __forceinline__ explicit WeightValue(const Row<T>& row)
      : row(row), weight(row(row.task.space.weight)) {}
  __device__ __forceinline__ WeightSum operator()(int i) const {
    const double w = weight[i];
    return {w, w == 0 ? 0 : w * depth_of(row, i)};
  }
};

// grid: chunks, sets, 2: pieces, positives
template <class T>
__global__ void __launch_bounds__(kScoreThreads, 2) sum_chunks(const ScoreTask<T> task) {
  __shared__ PieceSum piece_parts[kScoreWarps];
  __shared__ PositiveScan positive_parts[kScoreWarps];
  const Row<T> row(task);
  const int n = row.head().n;
  if (n == 0) return;
  if (blockIdx.z == 0)
    sum_chunk(Chunk(row.edges(n)), piece_parts, row(task.space.above_tile), PieceValue<T>(row, n));
  else
    sum_chunk(Chunk(n), positive_parts, row(task.space.ahead_tile), PositiveValue<T>(row, n));
}

// grid: as above
template <class T>
__global__ void __launch_bounds__(kScoreThreads, 2) scan_chunks(const ScoreTask<T> task) {
  __shared__ PieceSum piece_parts[kScoreWarps], piece_before;
  __shared__ PositiveScan positive_parts[kScoreWarps], positive_before;
  const Row<T> row(task);
  const int n = row.head().n;
  if (n == 0) return;
  if (blockIdx.z == 0) {
    const int edges = row.edges(n);
    PieceSum* const above = row(task.space.above);
    scan_chunk(Chunk(edges), piece_parts, piece_before, row(task.space.above_tile),
               PieceValue<T>(row, n), [=](int k, const PieceSum& sum) { above[edges - k] = sum; });
  } else {
    PositiveSum* const ahead = row(task.space.ahead);
    double* const depth = row(task.space.depth);
    scan_chunk(Chunk(n), positive_parts, positive_before, row(task.space.ahead_tile),
               PositiveValue<T>(row, n), [=](int k, const PositiveScan& upto) {
                 ahead[k] = upto.sum;
                 depth[n - 1 - k] = upto.depth;
               });
  }
}

}  // namespace drsl::cuda
