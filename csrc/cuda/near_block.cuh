#pragma once
// exact_pair for 2 × 4 pairs at once: a row that is read serves two or four of them, and all sums of the
// lanes are added up together. The same bits.
#include <cstdint>

#include "cuda/near.cuh"

namespace drsl::cuda {

// Sums over the lanes of kCount numbers at once; lane l gets number l / (32 / kCount). Numbers are added
// in the order of warp_sum, but at each step the lanes share what there is to do.
template <int kCount, int kLanes = 16>
__device__ __forceinline__ double warp_sums(const double (&v)[kCount]) {
  if constexpr (kCount == 1) {
    double sum = v[0];
#pragma unroll
    for (int lanes = kLanes; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(kAllLanes, sum, lanes);
    return sum;
  } else {
    const bool upper = lane_index() & kLanes;
    double half[kCount / 2];
#pragma unroll
    for (int i = 0; i < kCount / 2; ++i) {
      const double low = v[i], high = v[i + kCount / 2];
      half[i] = (upper ? high : low) + __shfl_xor_sync(kAllLanes, upper ? low : high, kLanes);
    }
    return warp_sums<kCount / 2, kLanes / 2>(half);
  }
}

constexpr int kBlockDown = 2, kBlockAcross = 4, kBlockPairs = kBlockDown * kBlockAcross;

// Of a side's rows of a block, and which one a lane's pair belongs to.
template <class In, class T, int kRows>
struct BlockSide {
  const In* row[kRows];
  T norm[kRows], inverse[kRows];

  // Rows [first, first + kRows), the last one instead of those beyond it.
  __device__ __forceinline__ BlockSide(const In* rows, const T* norms, const T* inverses,
                                       int64_t first, int64_t count, int64_t D) {
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      const int64_t at = first + i < count ? first + i : count - 1;
      row[i] = rows + at * D, norm[i] = norms[at], inverse[i] = inverses[at];
    }
  }
  __device__ __forceinline__ PairSide<T> side(int i) const {
    T n = norm[0], v = inverse[0];
#pragma unroll
    for (int j = 1; j < kRows; ++j) n = i == j ? norm[j] : n, v = i == j ? inverse[j] : v;
    return {n, v};
  }
};

// Pair (l / 2 / 4, l / 2 % 4) of the block, for lanes l < 16.
template <class In, class T>
__device__ __forceinline__ Pair<T> exact_block(const BlockSide<In, T, kBlockDown>& x,
                                               const BlockSide<In, T, kBlockAcross>& r, int64_t D) {
  double pairs[2 * kBlockPairs] = {};  // d² of all pairs, then x·r
  double norms[8] = {};                // |x|² twice, |r|² four times
  double xs[kBlockDown], rs[kBlockAcross];
#pragma unroll
  for (int a = 0; a < kBlockDown; ++a) xs[a] = safe_scale(x.norm[a]);
#pragma unroll
  for (int b = 0; b < kBlockAcross; ++b) rs[b] = safe_scale(r.norm[b]);
#pragma unroll 1
  for (int64_t k = lane_index(); k < D; k += 32) {
    double own[kBlockDown];
#pragma unroll
    for (int a = 0; a < kBlockDown; ++a) {
      own[a] = double(widen(x.row[a][k]));
      add_to_norm(own[a], xs[a], norms[a]);
    }
#pragma unroll
    for (int b = 0; b < kBlockAcross; ++b) {
      const double other = double(widen(r.row[b][k]));
      add_to_norm(other, rs[b], norms[kBlockDown + b]);
#pragma unroll
      for (int a = 0; a < kBlockDown; ++a) {
        const int p = a * kBlockAcross + b;
        const double common = xs[a] < rs[b] ? xs[a] : rs[b];
        add_to_pair(own[a], xs[a], other, rs[b], common, pairs[p], pairs[kBlockPairs + p]);
      }
    }
  }
  const double sum = warp_sums(pairs), norm2 = warp_sums(norms);
  const double dot = __shfl_xor_sync(kAllLanes, sum, 16);
  const int p = lane_index() / 2 % kBlockPairs, a = p / kBlockAcross, b = p % kBlockAcross;
  const double x2 = __shfl_sync(kAllLanes, norm2, 4 * a);
  const double r2 = __shfl_sync(kAllLanes, norm2, 4 * (kBlockDown + b));
  return finish_pair(sum, dot, x2, r2, x.side(a), r.side(b));
}

}  // namespace drsl::cuda
