#pragma once
// A row of scores on a GPU, and everything that is known of it between two kernels.
//
// A row is spread over the blocks of a grid, sets over grid.y. The number of positives n is known
// to the device alone: grids are as for n = N, each block takes an equal chunk of what there really
// is, and blocks that are left without work are over at once. Where everything lies is known from
// N: a slab a set.
//
//   collect    positives, left to right                     score_collect.cuh
//   sort       by score, and by target                      score_sort.cuh
//   locate     windows and edges of the positives' ramps    score_edges.cuh
//   count      negatives, each to its piece                 score_edges.cuh
//   scan       prefix sums over pieces and positives        score_scan.cuh
//   table      sums over score and target at once           score_table.cuh
//   shares     the errors, and what each is charged with    score_shares.cuh
//   gradient   and back to the entries                      score_gradient.cuh
#include <cstdint>

#include "cuda/block_sort.cuh"
#include "cuda/plan.h"
#include "cuda/score_sums.cuh"

namespace drsl::cuda {

constexpr int kScoreThreads = kSortThreads, kScoreWarps = kScoreThreads / 32;

// On host threads all of these are so small that tests go all ways.
#if defined(DRSL_CUDA_ON_HOST)
constexpr int64_t kScoreChunk = 24, kScoreBlocks = 5, kScoreTile = 16;
constexpr int kTableBits = 3, kTableSide = 4, kTableAhead = 2, kSplitters = 8;
constexpr int64_t kScoreMemory = 1 << 16;
#else
constexpr int64_t kScoreChunk = 256;       // entries of a block, at least
constexpr int64_t kScoreBlocks = 1056;     // of a row, at most: eight for each multiprocessor
constexpr int64_t kScoreTile = 1024;       // keys that one block sorts
constexpr int kTableBits = 7;              // positives of a side of a table's cell: 2^7 at least
constexpr int kTableSide = 512;            // cells of a side of a table, at most
constexpr int kTableAhead = 16;            // rows that are loaded together
constexpr int kSplitters = 512;            // edges that a block keeps in shared memory
constexpr int64_t kScoreMemory = 1 << 30;  // of all sets that are handled together, or one set's
#endif
constexpr int kMergeRuns = 8;  // sorted runs that become one

enum class ScoreLoss { kRankSort, kAp, kAlrp };

struct ScoreHead {
  int n;          // positives; 0 if there is nothing to compute
  int found;      // positives
  int bad;        // whether results are NaN
  int nonfinite;  // whether a regression loss is
};
struct Found {
  int positives, bad;
};

// What a negative is charged with: base + rise · (how far above the beginning of its piece, in 2δ)
struct Charge {
  double base, rise;
};

// For one set; that of set s is s · slab bytes further on. Positives are ascending by score.
template <class T>
struct ScoreSpace {
  using Key = KeyOf<T>;
  ScoreHead* head;
  Found* found;                                                      // [blocks]
  int32_t* column;                                                   // [n] left to right
  SortBuffer<Key> score_key0, score_key1, target_key0, target_key1;  // [n], to and fro
  double *score, *value;              // [n] s_i; v_i: 1 − t_i, or the regression loss
  double* depth;                      // [n] among positives
  int32_t* from_left;                 // [n] its place among the positives from left to right
  int32_t* place;                     // [n] the inverse of that
  int32_t *low, *high;                // [n] H(s_j − s_i) is 0 for j < low, full for j ≥ high
  int32_t *start, *full;              // [n] first piece on the ramp of i, and above it
  int32_t *rank, *by_rank;            // [n] place by target; the inverse
  int32_t *below, *upto;              // [n] how many targets are smaller, and smaller or equal
  double* edge;                       // [2 n] ascending: piece m > 0 begins at edge m − 1
  int32_t* ended;                     // [2 n + 1] ramps that have ended where a piece begins
  int32_t* piece;                     // [N] of each entry; 0: takes no part, or no step has begun
  uint32_t* amount;                   // [2 n + 1] negatives of a piece
  unsigned long long* moment;         // [2 n + 1] Σ of how far above its beginning, fixed point
  PieceSum *above, *above_tile;       // [2 n + 1], [blocks]
  PositiveSum* ahead;                 // [n] from the highest down
  PositiveScan* ahead_tile;           // [blocks]
  WeightSum *weights, *weights_tile;  // [n] from the lowest up, [blocks]
  LeastSum* least_tile;               // [blocks]
  double *false_positives, *seen, *own, *weight;  // [n]
  double *sort_own, *sort_weight;                 // [n]
  double* part;                                   // [2, blocks] of the losses
  Charge* charge;                                 // [2 n + 1]
  double* table;

  ScoreSpace() = default;
  ScoreSpace(int64_t columns, bool sorting, Pieces& pieces);
};

template <class T>
struct ScoreTask {
  ScoreLoss loss;
  const T *scores, *targets, *regression;  // [sets, N]; [sets, regressions]
  int64_t columns, regressions;
  bool by_column;                  // regression losses are read at the columns of the positives
  bool interpolated;               // AP
  double delta, slope;             // slope 1/2δ, 0 for δ = 0
  double fixed;                    // 1 in fixed point
  T *ranking, *sorting;            // [sets], the losses; sorting of Rank & Sort alone
  T *gradient, *sorting_gradient;  // [sets, N] or null
  T* rank;                         // [sets, regressions]
  int64_t* order;                  // [sets, regressions]
  ScoreSpace<T> space;
  int64_t slab;
};

int64_t score_blocks(int64_t columns);
int64_t score_table_numbers(int64_t columns);

// Queues the loss of `sets` rows; space and slab as ScoreSpace has them.
template <class T>
void score_losses(const ScoreTask<T>& task, int64_t sets, cudaStream_t stream);

// A block's part of `count` pieces of work.
struct Chunk {
  int first, end;

  __device__ __forceinline__ explicit Chunk(int64_t count) {
    const int64_t even = (count + gridDim.x - 1) / gridDim.x;
    const int64_t size = even > kScoreChunk ? even : kScoreChunk, begin = blockIdx.x * size;
    first = int(begin < count ? begin : count);
    end = int(begin + size < count ? begin + size : count);
  }
  __device__ __forceinline__ int count() const { return end - first; }
};

// The row of blockIdx.y.
template <class T>
struct Row {
  const ScoreTask<T>& task;
  int64_t set;

  __device__ __forceinline__ explicit Row(const ScoreTask<T>& task) : task(task), set(blockIdx.y) {}

  template <class N>
  __device__ __forceinline__ N* operator()(N* of_first) const {
    return reinterpret_cast<N*>(reinterpret_cast<char*>(of_first) + set * task.slab);
  }
  template <class Key>
  __device__ __forceinline__ SortBuffer<Key> operator()(SortBuffer<Key> of_first) const {
    return {(*this)(of_first.key), (*this)(of_first.item)};
  }
  __device__ __forceinline__ const T* scores() const { return task.scores + set * task.columns; }
  __device__ __forceinline__ const T* targets() const { return task.targets + set * task.columns; }
  __device__ __forceinline__ ScoreHead head() const { return *(*this)(task.space.head); }
  __device__ __forceinline__ bool hard() const { return task.delta == 0; }
  __device__ __forceinline__ int edges(int n) const { return hard() ? n : 2 * n; }
  // a distance in units of 2δ, closed to one
  __device__ __forceinline__ double closed(double distance) const {
    const double x = distance * task.slope;
    return x < 1 ? x : 1;
  }
};

}  // namespace drsl::cuda
