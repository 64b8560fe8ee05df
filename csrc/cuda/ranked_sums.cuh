#pragma once
// Sums over two dimensions, by one block, in O(n log n). n sources stand in a row by coordinate, and
// each has a rank, a number in [0, n) of its own, and a limit:
//
//   mass_q = Σ_s H(at_q − at_s) [s < limit_q] (1, value_s)       H(x) = clamp(½ + x, 0, 1), or x ≥ 0
//
// for sources q and s by rank. Level by level, blocks of 2^l ranks are halved. In a block the sources
// stand by coordinate: q takes the first `lo` of them in full, and the first `hi` at all. If its limit
// lies in the upper half, the whole of the lower half counts: a window of prefix sums over the lower
// half's sources, kept where they stand in the block. Those before lo and hi that are in the half with
// the limit are lo and hi of the next level. Small blocks are summed one by one. Prefixes begin anew
// with each block, so that nothing cancels but what stands below q.
#include <cstdint>

#include "core/window.h"
#include "cuda/block_scan.cuh"

namespace drsl::cuda {

struct RankedSource {
  double at, value;
};
struct Reach {
  int32_t lo, hi;
};
struct Mass {
  double count, value;
};
// Over lower halves: how many, Σ at, Σ value, Σ value · at.
using LowerSums = Sums<4>;

struct RankedWork {
  RankedSource* source;  // [n] by rank
  LowerSums* prefix;     // [n] as the sources stand
  Reach* reach;          // [n] by rank, at first among all sources
  Mass* mass;            // [n] by rank, out
  int32_t* rank[2];      // [n] as the sources stand, at first in 0 and by coordinate; to and fro
};

constexpr int kLeafLevel = 4;  // blocks of so many bits are summed one by one

// The smallest l with n ≤ 2^l.
__device__ __forceinline__ int levels_of(int n) { return 32 - __clz(n - 1); }

// Halves the blocks of 2^level: prefix sums, and where everybody stands in the next level.
template <int kThreads>
__device__ __forceinline__ void halve_blocks(int n, int level, bool odd, const RankedWork& work,
                                             SegmentedSums<4>* parts) {
  const int half = 1 << (level - 1), within = 2 * half - 1;
  block_scan<kThreads>(
      n, parts,
      [&](int k) {
        SegmentedSums<4> own{{}, (k & within) == 0};
        const int rank = work.rank[odd][k];
        if (rank & half) return own;
        const RankedSource source = work.source[rank];
        own.sum = {1, source.at, source.value, source.value * source.at};
        return own;
      },
      [&](int k, const SegmentedSums<4>& upto) {
        const int rank = work.rank[odd][k], lower = int(upto.sum.v[0]), begin = k & ~within;
        work.prefix[k] = upto.sum;
        // the lower half is full if anybody is in the upper one
        work.rank[!odd][rank & half ? k + half - lower : begin + lower - 1] = rank;
      });
}

// q goes down a level.
template <bool kHard>
__device__ __forceinline__ void descend(int q, int half, int limit, const RankedWork& work) {
  const Reach reach = work.reach[q];
  if (reach.hi == 0) return;
  const int begin = limit & ~(2 * half - 1);
  const LowerSums hi = work.prefix[begin + reach.hi - 1];
  LowerSums lo = hi;
  if constexpr (!kHard) lo = reach.lo > 0 ? work.prefix[begin + reach.lo - 1] : LowerSums{};
  const Reach lower{int32_t(lo.v[0]), int32_t(hi.v[0])};
  if (limit & half) {
    const double at = work.source[q].at;
    Mass mass = work.mass[q];
    mass.count += window(at, 1, lo.v, hi.v);
    mass.value += window(at, 1, lo.v + 2, hi.v + 2);
    work.mass[q] = mass;
    work.reach[q] = {reach.lo - lower.lo, reach.hi - lower.hi};
  } else {
    work.reach[q] = lower;
  }
}

// step is H in the unit of the coordinates; work lies in shared memory, as pointers in registers would
// be too many. Begins with a barrier, and ends without one: thread t has done t, t + kThreads, …
template <int kThreads, bool kHard, class Step, class Limit>
__device__ __forceinline__ void sum_ranked(int n, const RankedWork& work, SegmentedSums<4>* parts,
                                           Step step, Limit limit) {
  const int thread = int(threadIdx.x);
  for (int q = thread; q < n; q += kThreads) work.mass[q] = {0, 0};
  __syncthreads();
  bool odd = false;
#pragma unroll 1
  for (int level = levels_of(n); level > kLeafLevel; --level, odd = !odd) {
    halve_blocks<kThreads>(n, level, odd, work, parts);
#pragma unroll 1
    for (int q = thread; q < n; q += kThreads) descend<kHard>(q, 1 << (level - 1), limit(q), work);
    __syncthreads();
  }
#pragma unroll 1
  for (int q = thread; q < n; q += kThreads) {
    Mass mass = work.mass[q];
    const double at = work.source[q].at;
    const int end = limit(q);
#pragma unroll 2
    for (int s = end & ~((1 << kLeafLevel) - 1); s < end; ++s) {
      const RankedSource source = work.source[s];
      const double h = step(at - source.at);
      mass.count += h;
      mass.value += h * source.value;
    }
    work.mass[q] = mass;
  }
}

}  // namespace drsl::cuda
