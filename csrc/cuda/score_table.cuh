#pragma once
// Sums over score and target at once, for Rank & Sort's sorting error. For positive q, a window of
// places by score and a limit by target,
//
//   kUp = false:  M(q) = Σ_j H(s_j − s_q) [t_j < t_q], and of H (1 − t_j)        from above
//   kUp = true:   charge(q) = Σ_i w_i H(s_q − s_i) [t_q < t_i]                     from below
//
// Places and targets are cut into cells of 128 each, of n / 512 if that is more. A table has the
// sums over all cells before one, in both directions; what a window has beyond them, less than a
// cell on each of three sides, is summed by a warp: 1.5 cells on average, all of it streaming. That
// is less work than merging by target up to n of some 10⁵, and two kernels instead of two a level.
#include "cuda/score_scan.cuh"

namespace drsl::cuda {

struct TableShape {
  int shift, side;

  __device__ __forceinline__ explicit TableShape(int n) : shift(kTableBits) {
    while ((int64_t(kTableSide) << shift) < n) ++shift;
    side = int((int64_t(n) + (1 << shift) - 1) >> shift);
  }
};

// Positives as the sums see them: from above by score and by target ascending, or the
// other way round.
template <bool kUp, class T>
struct Sources {
  static constexpr int kChannels = kUp ? 1 : 2;
  using Moments = Sums<2 * kChannels>;  // a, a · coordinate for each channel
  const double *depth, *amount;         // amount: w, or 1 − t beside 1
  const int32_t *rank, *by_rank;
  int n;
  double total;

  __device__ __forceinline__ Sources(const Row<T>& row, int n)
      : depth(row(row.task.space.depth)),
        amount(row(kUp ? row.task.space.sort_weight : row.task.space.value)),
        rank(row(row.task.space.rank)),
        by_rank(row(row.task.space.by_rank)),
        n(n),
        total(depth[0]) {}
  __device__ __forceinline__ int turned(int k, bool turn) const { return turn ? n - 1 - k : k; }
  __device__ __forceinline__ int at_place(int p) const { return turned(p, !kUp); }
  __device__ __forceinline__ int place(int i) const { return turned(i, !kUp); }
  __device__ __forceinline__ int rank_of(int i) const { return turned(rank[i], kUp); }
  __device__ __forceinline__ int at_rank(int r) const { return by_rank[turned(r, kUp)]; }
  __device__ __forceinline__ double coordinate(int i) const {
    return kUp ? total - depth[i] : depth[i];
  }
  __device__ __forceinline__ Moments moments(int i) const {
    const double c = coordinate(i), a = amount[i];
    if constexpr (kUp)
      return {{a, a * c}};
    else
      return {{1, c, a, a * c}};
  }
};

template <class Moments>
struct TableShared {
  Moments parts[kScoreWarps], staged[kScoreThreads], cells[kTableSide];
  int column[kScoreThreads];
};

// Σ over the row's places and the ranks of each cell, to shared.cells.
template <class Moments, class S>
__device__ __forceinline__ void sum_cells(const S& sources, const TableShape& shape, int r,
                                          TableShared<Moments>& shared) {
  constexpr int kOwn = (kTableSide + kScoreThreads - 1) / kScoreThreads;  // columns of a thread
  const int thread = int(threadIdx.x);
  const int begin = r << shape.shift, end = min(sources.n - begin, 1 << shape.shift);
  Moments sum[kOwn]{};
#pragma unroll 1
  for (int first = 0; first < end; first += kScoreThreads) {
    const int count = min(end - first, kScoreThreads);
    __syncthreads();
    if (thread < count) {
      const int i = sources.at_place(begin + first + thread);
      shared.column[thread] = sources.rank_of(i) >> shape.shift;
      shared.staged[thread] = sources.moments(i);
    }
    __syncthreads();
#pragma unroll 1
    for (int k = 0; k < count; ++k) {
#pragma unroll
      for (int own = 0; own < kOwn; ++own)
        if (shared.column[k] == thread + own * kScoreThreads)
          sum[own] = sum[own].then(shared.staged[k]);
    }
  }
#pragma unroll
  for (int own = 0; own < kOwn; ++own)
    if (thread + own * kScoreThreads < kTableSide)
      shared.cells[thread + own * kScoreThreads] = sum[own];
  __syncthreads();
}

// table [side + 1, side]: row r ← sums of its places over ranks of the cells before a column. The
// blocks of grid.x take turns.
template <bool kUp, class T>
__device__ __forceinline__ void fill_table(const Row<T>& row, int n,
                                           TableShared<typename Sources<kUp, T>::Moments>& shared) {
  using Moments = typename Sources<kUp, T>::Moments;
  const TableShape shape(n);
  const Sources<kUp, T> sources(row, n);
#pragma unroll 1
  for (int r = int(blockIdx.x); r < shape.side; r += int(gridDim.x)) {
    sum_cells(sources, shape, r, shared);
    Moments* const table =
        reinterpret_cast<Moments*>(row(row.task.space.table)) + int64_t(r) * shape.side;
    if (threadIdx.x == 0) table[0] = Moments{};
    block_scan<kScoreThreads>(
        shape.side, shared.parts, [&](int l) { return shared.cells[l]; },
        [&](int l, const Moments& upto) {
          if (l + 1 < shape.side) table[l + 1] = upto;
        });
  }
}

// Rows become the sums of those before them.
template <int kNumbers, class T>
__device__ __forceinline__ void sum_table(const Row<T>& row, int n) {
  const TableShape shape(n);
  const int width = shape.side * kNumbers, threads = int(gridDim.x) * kScoreThreads;
#pragma unroll 1
  for (int x = int(blockIdx.x) * kScoreThreads + int(threadIdx.x); x < width; x += threads) {
    double* at = row(row.task.space.table) + x;
    double before = 0;
#pragma unroll 1
    for (int r = 0; r <= shape.side; r += kTableAhead) {
      double own[kTableAhead];
#pragma unroll
      for (int k = 0; k < kTableAhead; ++k)
        own[k] = r + k < shape.side ? at[int64_t(k) * width] : 0;
#pragma unroll
      for (int k = 0; k < kTableAhead; ++k) {
        if (r + k <= shape.side) at[int64_t(k) * width] = before;
        before += own[k];
      }
      at += int64_t(kTableAhead) * width;
    }
  }
}

// For what positives see. grid: blocks, sets
template <class T>
__global__ void __launch_bounds__(kScoreThreads, 2) fill_table_of_errors(const ScoreTask<T> task) {
  __shared__ TableShared<typename Sources<false, T>::Moments> shared;
  const Row<T> row(task);
  const int n = row.head().n;
  if (n > 0) fill_table<false>(row, n, shared);
}
template <class T>
__global__ void __launch_bounds__(kScoreThreads, 2) sum_table_of_errors(const ScoreTask<T> task) {
  const Row<T> row(task);
  const int n = row.head().n;
  if (n > 0) sum_table<4>(row, n);
}

// What positive q sees, in all lanes of its warp.
template <bool kUp, class T>
__device__ __forceinline__ Sums<Sources<kUp, T>::kChannels> sum_window(
    const Row<T>& row, const Sources<kUp, T>& sources, int q) {
  using Moments = typename Sources<kUp, T>::Moments;
  constexpr int kChannels = Sources<kUp, T>::kChannels;
  const ScoreSpace<T>& space = row.task.space;
  const int n = sources.n, low = row(space.low)[q], high = row(space.high)[q];
  // the first lo are full, the first hi are in the window at all
  const int hi = kUp ? high : n - low;
  const int lo = row.hard() ? hi : kUp ? low : n - high;
  const int limit = kUp ? n - row(space.upto)[q] : row(space.below)[q];
  Sums<kChannels> result{};
  if (limit == 0 || hi == 0) return result;
  const TableShape shape(n);
  const int across = limit >> shape.shift, base = across << shape.shift;
  const double at = sources.coordinate(q);
  for (int r = base + lane_index(); r < limit; r += 32) {
    const int i = sources.at_rank(r), p = sources.place(i);
    const Moments m = sources.moments(i);
    const double h = p < lo ? 1.0 : p < hi ? 0.5 + (at - sources.coordinate(i)) : 0.0;
#pragma unroll
    for (int c = 0; c < kChannels; ++c) result.v[c] += m.v[2 * c] * h;
  }
  const auto before = [&](int end) {
    const int cells = end >> shape.shift;
    Moments sum{};
    for (int p = (cells << shape.shift) + lane_index(); p < end; p += 32) {
      const int i = sources.at_place(p);
      if (sources.rank_of(i) < base) sum = sum.then(sources.moments(i));
    }
#pragma unroll
    for (int k = 0; k < 2 * kChannels; ++k) sum.v[k] = warp_sum(sum.v[k]);
    const auto* const table = reinterpret_cast<const Moments*>(row(space.table));
    return table[int64_t(cells) * shape.side + across].then(sum);
  };
  const Moments to_lo = before(lo), to_hi = lo == hi ? to_lo : before(hi);
#pragma unroll
  for (int c = 0; c < kChannels; ++c)
    result.v[c] = warp_sum(result.v[c]) + window(at, 1, to_lo.v + 2 * c, to_hi.v + 2 * c);
  return result;
}

}  // namespace drsl::cuda
