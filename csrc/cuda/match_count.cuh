#pragma once
// A tile's sums of digits → how many entries are before each match. Each sum is read once.
//
// A block takes a few queries and a strip of columns, so that what is known of a column is loaded once
// for them. An entry behind all matches is done after one comparison. The others fall into buckets; in
// most of these no match lies, and the bucket says which match is the next. In the others the bound
// decides, first one for all entries, then the entry's own. What it cannot decide is listed.
#include "cuda/match.h"

namespace drsl::cuda {

constexpr int kCountQueries = 4, kCountStrip = 2048;

struct CountShared {
  unsigned* before;     // [slots]
  const float* middle;  // [slots]
  const Reach* reach;   // [kMatchBuckets]

  __host__ __device__ static int64_t words(int64_t slots) { return kMatchBuckets + 2 * slots; }
};

// Entries of the query's own identity are matches, or in no list: no sum of digits is as low as this.
constexpr int32_t kHidden = -2147483647 - 1;

__device__ __forceinline__ void hide_own(const MatchTask& task, const Tile& tile, int64_t q,
                                         int64_t from, int64_t to) {
  const int32_t* const own = task.who.by_identity + task.who.first(q);
  const int64_t count = task.who.count(q);
#pragma unroll 1
  for (int64_t i = threadIdx.x; i < count; i += kMatchThreads) {
    const int64_t k = own[i] - tile.first;
    if (k >= from && k < to) tile.upper[q * tile.width + k] = kHidden;
  }
}

// An entry in a bucket that matches reach into.
__device__ __forceinline__ void place_closely(const MatchTask& task, const Thresholds& t,
                                              const CountShared& shared, int64_t q, int64_t k,
                                              float v) {
  const float* const middle = shared.middle;
  const Reach reach = shared.reach[t.bucket(v)];
  int from = reach.first(), to = from + reach.count();
  from = first_not(from, to, [&](int p) { return middle[p] + t.off < v; });
  if (from < to && !(v < middle[from] - t.off)) {
    const float off = float(fixed_bound(task.x[q].lengths, task.r[k].lengths, task.dim));
    from = first_not(from, to, [&](int p) { return middle[p] + off < v; });
    to = first_not(from, to, [&](int p) { return !(v < middle[p] - off); });
    if (from < to) {
      const unsigned at = atomicAdd(&task.listed[q], 1u);
      if (at < unsigned(task.limit)) task.list[q * task.limit + at] = int32_t(k);
      return;
    }
  }
  if (from < t.matches) atomicAdd(&shared.before[from], 1u);
}

// Columns k to k + 3 of the tile for one query. Those of buckets that matches reach into come last, one
// by one: few lanes have any.
__device__ __forceinline__ void count_four(const MatchTask& task, const Tile& tile,
                                           const Thresholds& t, const CountShared& shared,
                                           int64_t q, int64_t k, const float2 (&column)[4]) {
  const int64_t at = q * tile.width + k;
  const auto upper = *reinterpret_cast<const Pack<int32_t>*>(tile.upper + at);
  const auto middle = *reinterpret_cast<const Pack<int32_t>*>(tile.middle + at);
  const auto lower = *reinterpret_cast<const Pack<int32_t>*>(tile.lower + at);
  float v[4];
  unsigned doubtful = 0;
#pragma unroll
  for (int e = 0; e < 4; ++e) {
    const float sum = __fmaf_rn(65536.0f, float(upper.at[e]),
                                __fmaf_rn(256.0f, float(middle.at[e]), float(lower.at[e])));
    v[e] = __fmaf_rn(column[e].y, t.step * sum, column[e].x);
    if (!(v[e] <= t.last) || upper.at[e] == kHidden) continue;
    const Reach reach = shared.reach[t.bucket(v[e])];
    if (reach.count() == 0)
      atomicAdd(&shared.before[reach.first()], 1u);
    else
      doubtful |= 1u << e;
  }
#pragma unroll 1
  while (doubtful) {
    const int e = __ffs(int(doubtful)) - 1;
    doubtful &= doubtful - 1;
    const float value = e < 2 ? (e == 0 ? v[0] : v[1]) : (e == 2 ? v[2] : v[3]);
    place_closely(task, t, shared, q, tile.first + k + e, value);
  }
}

__device__ __forceinline__ CountShared part_of(unsigned* memory, int j, int64_t slots) {
  unsigned* const own = memory + j * CountShared::words(slots);
  return {own + kMatchBuckets + slots, reinterpret_cast<const float*>(own + kMatchBuckets),
          reinterpret_cast<const Reach*>(own)};
}

// Shared memory: CountShared::words for each of kCountQueries.
__global__ void __launch_bounds__(kMatchThreads, 4) count_tile(MatchTask task, Tile tile) {
  DRSL_DYNAMIC_SHARED(unsigned, memory);
  __shared__ Thresholds threshold[kCountQueries];
  const int64_t q0 = int64_t(blockIdx.x) * kCountQueries;
  const int queries = int(min(int64_t(kCountQueries), task.queries - q0));
  const int64_t from = int64_t(blockIdx.y) * kCountStrip, to = min(from + kCountStrip, tile.width);
  if (int(threadIdx.x) < queries) threshold[threadIdx.x] = task.threshold[q0 + threadIdx.x];
#pragma unroll 1
  for (int j = 0; j < queries; ++j) {
    const int64_t q = q0 + j;
    const int matches = task.threshold[q].matches;
    if (matches <= 0) continue;
    unsigned* const own = memory + j * CountShared::words(task.slots);
    for (int c = int(threadIdx.x); c < kMatchBuckets; c += kMatchThreads)
      own[c] = task.reach[q * kMatchBuckets + c].word;
    for (int p = int(threadIdx.x); p < matches; p += kMatchThreads) {
      own[kMatchBuckets + p] = __float_as_uint(task.middle[q * task.slots + p]);
      own[kMatchBuckets + task.slots + p] = 0;
    }
    hide_own(task, tile, q, from, to);
  }
  __syncthreads();
#pragma unroll 1
  for (int64_t k = from + 4 * threadIdx.x; k < to; k += 4 * kMatchThreads) {
    Pack<float> columns[2];
#pragma unroll
    for (int i = 0; i < 2; ++i)
      columns[i] = reinterpret_cast<const Pack<float>*>(task.columns + tile.first + k)[i];
    float2 column[4];
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const bool real = tile.first + k + e < task.entries;  // NaN is below nothing
      column[e] = {real ? columns[e / 2].at[e % 2 * 2] : __int_as_float(0x7fc00000),
                   columns[e / 2].at[e % 2 * 2 + 1]};
    }
#pragma unroll 1
    for (int j = 0; j < queries; ++j)
      if (threshold[j].matches > 0)
        count_four(task, tile, threshold[j], part_of(memory, j, task.slots), q0 + j, k, column);
  }
  __syncthreads();
#pragma unroll 1
  for (int j = 0; j < queries; ++j) {
    const CountShared shared = part_of(memory, j, task.slots);
    for (int p = int(threadIdx.x); p < threshold[j].matches; p += kMatchThreads)
      if (shared.before[p]) atomicAdd(&task.before[(q0 + j) * task.slots + p], shared.before[p]);
  }
}

}  // namespace drsl::cuda
