#pragma once
// d² = Σ (x − r)² in double, by a warp: the same bits for equal rows, whoever asks.
#include "core/places_of_matches.h"
#include "cuda/element.cuh"
#include "cuda/warp.cuh"

namespace drsl::cuda {

// Features as given.
template <class E>
struct Features {
  const E *x, *gallery;  // [queries, dim], [entries, dim]
  int64_t queries, entries, dim;
  bool aligned;  // both to 16 bytes, row by row

  // Of `count` rows x from query q on with one entry, in all lanes.
  template <int kCount>
  __device__ __forceinline__ void distances(int64_t q, int count, int64_t k,
                                            double (&out)[kCount]) const {
    const E* const r = gallery + k * dim;
#pragma unroll
    for (int j = 0; j < kCount; ++j) out[j] = 0;
#pragma unroll 1
    for (int64_t i = lane_index() * Pack<E>::kCount; i < dim; i += 32 * Pack<E>::kCount) {
      const Pack<E> there = load_pack(r, i, dim, aligned);
#pragma unroll
      for (int j = 0; j < kCount; ++j) {
        if (j >= count) break;
        const Pack<E> here = load_pack(x + (q + j) * dim, i, dim, aligned);
#pragma unroll
        for (int e = 0; e < Pack<E>::kCount; ++e) {
          const double off = double(widen(here.at[e])) - double(widen(there.at[e]));
          out[j] = fma(off, off, out[j]);
        }
      }
    }
#pragma unroll
    for (int j = 0; j < kCount; ++j) out[j] = in_order(warp_sum(out[j]));
  }
  __device__ __forceinline__ double distance(int64_t q, int64_t k) const {
    double out[1];
    distances(q, 1, k, out);
    return out[0];
  }
};

constexpr int kDistanceThreads = 256, kDistanceQueries = 4;

// out [queries, entries]: a warp an entry, and a few queries.
template <class E>
__global__ void __launch_bounds__(kDistanceThreads, 2)
    all_distances(Features<E> features, double* out) {
  const int64_t k = int64_t(blockIdx.x) * (kDistanceThreads / 32) + warp_index();
  if (k >= features.entries) return;
  const int64_t groups = (features.queries + kDistanceQueries - 1) / kDistanceQueries;
#pragma unroll 1
  for (int64_t group = blockIdx.y; group < groups; group += gridDim.y) {
    const int64_t q = group * kDistanceQueries;
    const int count = int(min(int64_t(kDistanceQueries), features.queries - q));
    double d2[kDistanceQueries];
    features.distances(q, count, k, d2);
#pragma unroll
    for (int j = 0; j < kDistanceQueries; ++j)
      if (j < count && lane_index() == 0) out[(q + j) * features.entries + k] = d2[j];
  }
}

}  // namespace drsl::cuda
