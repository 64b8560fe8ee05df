#pragma once
// A query's matches in order, and what entries are compared with: a block a query.
#include "cuda/match_task.cuh"

namespace drsl::cuda {

// d² of what may match, in shared memory by place among those of the identity; ∞ for what may not.
template <class E>
__device__ __forceinline__ void measure_matches(const MatchTask& task, const Features<E>& features,
                                                int64_t q, int count, double* value) {
  const int32_t* const own = task.who.by_identity + task.who.first(q);
#pragma unroll 1
  for (int i = warp_index(); i < count; i += kMatchWarps) {
    const int32_t k = own[i];
    const bool counts = task.who.inside(k) && task.columns[k].x < __int_as_float(0x7f800000) &&
                        !task.who.junk(q, k);
    const double d2 = counts ? features.distance(q, k) : __longlong_as_double(0x7ff0000000000000ll);
    if (lane_index() == 0) value[i] = d2;
  }
}

// Each finds its place by counting those before it; equal ones go by column, as they come. Returns how
// many matches there are.
__device__ __forceinline__ int order_matches(const MatchTask& task, int64_t q, int count,
                                             const double* value) {
  const int32_t* const own = task.who.by_identity + task.who.first(q);
  const double none = __longlong_as_double(0x7ff0000000000000ll);
  int matches = 0;
#pragma unroll 1
  for (int i = int(threadIdx.x); i < count; i += kMatchThreads) {
    const double mine = value[i];
    const bool match = mine < none;
    int place = 0;
#pragma unroll 1
    for (int j = 0; match && j < count; ++j)
      place += int(value[j] < mine || (value[j] == mine && j < i));
    if (match) {
      task.value[q * task.slots + place] = mine;
      task.column[q * task.slots + place] = own[i];
    }
    matches += int(match);
  }
  return matches;
}

// Which bucket each value falls into never decreases with the value, however that is rounded: so an
// entry is behind the matches whose upper end is in a bucket before its own, and before those whose
// lower end is in one behind it.
__device__ __forceinline__ void write_thresholds(const MatchTask& task, int64_t q, int matches) {
  Thresholds t{matches, 0, 0, 0, 0, 0};
  const FixedRow& x = task.x[q];
  float* const middle = task.middle + q * task.slots;
  const double unit = task.scale * task.scale;
#pragma unroll 1
  for (int i = int(threadIdx.x); i < matches; i += kMatchThreads)
    middle[i] = float(task.value[q * task.slots + i] * unit - x.norm2);
  __syncthreads();
  if (matches > 0) {
    t.off = float(fixed_bound(x.lengths, task.most->lengths, task.dim));
    t.base = middle[0] - t.off;
    t.last = middle[matches - 1] + t.off;
    t.inverse = float(kMatchBuckets) / max(t.last - t.base, 0x1p-100f);
    t.step = float(65536 * x.step);
#pragma unroll 1
    for (int c = int(threadIdx.x); c < kMatchBuckets; c += kMatchThreads) {
      const int first =  // no value is beyond the bucket of the last one's upper end
          min(first_not(0, matches, [&](int p) { return t.bucket(middle[p] + t.off) < c; }),
              matches - 1);
      const int end =
          first_not(first, matches, [&](int p) { return t.bucket(middle[p] - t.off) <= c; });
      task.reach[q * kMatchBuckets + c] = Reach::of(first, end - first);
    }
  }
  if (threadIdx.x == 0) task.threshold[q] = t;
}

// Shared memory: task.slots numbers.
template <class E>
__global__ void __launch_bounds__(kMatchThreads, 4)
    matches_of(MatchTask task, Features<E> features) {
  DRSL_DYNAMIC_SHARED(double, value);
  __shared__ int parts[kMatchWarps];
#pragma unroll 1
  for (int64_t q = blockIdx.x; q < task.queries; q += gridDim.x) {
    const int64_t count = task.who.count(q);
    if (count > task.slots) {
      if (threadIdx.x == 0) task.threshold[q] = {-1, 0, 0, 0, 0, 0};
      continue;
    }
    measure_matches(task, features, q, int(count), value);
    __syncthreads();
    const int mine = order_matches(task, q, int(count), value);
    const int matches = block_sum<kMatchThreads>(mine, parts);  // and what was ordered is there
    write_thresholds(task, q, matches);
    __syncthreads();
  }
}

}  // namespace drsl::cuda
