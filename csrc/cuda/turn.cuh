#pragma once
// A query's distances → its loss and coefficients, a block a query:
//
//   turn_few     every query; those with n > kFewPositives are queued
//   turn_many    the queue: persistent blocks, each with a slot of scratch; over at once if it is empty
//
// Distances come from a Source and coefficients go back to it (source_gram.cuh, source_dense.cuh); the
// sums in between are formed by a row (row_few.cuh, row_many.cuh), which a policy (core/losses/) asks
// for them. Columns say where distances are kept meanwhile.
//
// What turn_many expects of ManyRow<T>; all threads of the block call all of it together:
//
//   struct Shared;                                               static shared memory
//   static __host__ __device__ int64_t slot_bytes(int64_t columns);        a multiple of 256
//   ManyRow(void* slot, int64_t columns, Shared&)                columns: a multiple of kLine
//   T* distance()      [columns] +∞ for positives, left-out entries and padding; the policy's sums
//                      leave it as it is
//   int32_t* column()  [n] of the positives, ascending
//   T *d(), *y()       [n] of the positives
//   begin(int n)       after a barrier, when all of these are there; may sort column, d and y together
//   T* charges()       [columns] Σ_i negative_weight[i] H(d_i − d_k), when the policy is done
//   T *grad_distance, *grad_angle      [n] in the order that column, d and y have then
//   T total(int t)     the sum over positives of the t-th of the terms, the same in all threads
//   bool gradient      whether more than the terms is wanted
//   and what a policy asks for.
#include "core/losses.h"
#include "cuda/query.cuh"
#include "cuda/row_few.cuh"
#include "cuda/row_many.cuh"

namespace drsl::cuda {

// Blocks of a multiprocessor that registers are shared out for.
template <class T>
constexpr int kFewBlocks = sizeof(T) == 8 ? 2 : 3;
template <class T>
constexpr int kManyBlocks = 2;

// Queries with many positives. The counters are 0 before turn_few and again after turn_many.
struct Queue {
  unsigned *queued, *taken, *left;  // queries waiting, begun, blocks that found none
  int* row;                         // [sets · rows] in no particular order
  char* slots;
};

// Distances of all columns. Whether one that counts is not finite. kPrefetched: what they are made of
// lies where they are going to.
template <bool kPrefetched, Measure kMeasure, class Source, class Columns>
__device__ __forceinline__ bool load_columns(const Source& source, const Columns& columns) {
  bool bad = false;
  for_each_quad(source.padded(), [&](int k) {
    const auto entries =
        source.template load<kMeasure>(k, kPrefetched ? columns.get(k) : source.raw(k));
    columns.put(k, entries);
    bad |= entries.bad;
  });
  return bad;
}

// Lists the positives, in no particular order if they are more than there is room for.
template <class T>
__device__ __forceinline__ int find_few(const Query& query, FewShared<T>& s) {
  const int thread = int(threadIdx.x);
  if (thread == 0) s.n = 0;
  __syncthreads();
#pragma unroll 4
  for (int k = thread; k < query.columns; k += kRowThreads) {
    if (query.r_label[k] != query.label || !query.compares(k)) continue;
    const int at = atomicAdd(&s.n, 1);
    if (at < kFewPositives) s.found[at] = k;
  }
  __syncthreads();
  const int n = s.n;
  if (n <= kFewPositives && thread < n) {  // they arrived in any order
    int at = 0;
    for (int i = 0; i < n; ++i) at += s.found[i] < s.found[thread];
    s.column[at] = s.found[thread];
  }
  __syncthreads();
  return n;
}

// Lists all positives of a query in ascending order. counts: a number for each warp.
__device__ __forceinline__ int find_many(const Query& query, int32_t* column, int* counts) {
  int n = 0;
  for (int first = 0; first < query.columns; first += kRowThreads) {
    const int k = first + int(threadIdx.x);
    const bool positive = query.positive(k);
    const unsigned votes = __ballot_sync(kAllLanes, positive);
    if (lane_index() == 0) counts[warp_index()] = __popc(votes);
    __syncthreads();
    int at = n + __popc(votes & ((1u << lane_index()) - 1));
    for (int w = 0; w < kRowWarps; ++w) {
      if (w < warp_index()) at += counts[w];
      n += counts[w];
    }
    if (positive) column[at] = k;
    __syncthreads();
  }
  return n;
}

// d and y of the positives, which leave the columns. Whether a cosine is not finite.
template <class Source, class Columns, class T>
__device__ __forceinline__ bool load_positives(const Source& source, const Columns& columns, int n,
                                               const int* column, T* d, T* y) {
  bool bad = false;
  for (int i = warp_index(); i < n; i += kRowWarps) {
    const T cosine = source.cosine(column[i]);
    bad |= !(cosine >= -kMost<T> && cosine <= kMost<T>);
    if (lane_index() == 0) y[i] = T(0.5) + T(0.5) * cosine;
  }
  for (int i = int(threadIdx.x); i < n; i += kRowThreads) d[i] = columns.take(column[i]);
  return bad;
}

// The row of a query that counts, from its distances on. Whether the query is bad.
template <bool kPrefetched, class Source, class Columns, class T>
__device__ __forceinline__ bool load_row(const Source& source, const Columns& columns, int n,
                                         const int* column, T* d, T* y) {
  bool bad = load_columns<kPrefetched, Measure::kDistance>(source, columns);
  __syncthreads();
  bad |= load_positives(source, columns, n, column, d, y);
  bad = __syncthreads_or(bad);
  if (bad) {
    source.write_all(true);
    if (threadIdx.x == 0) source.report(1, kNaN<T>, kNaN<T>, kNaN<T>, kNaN<T>, T(0));
  }
  return bad;
}

// Coefficients of the positives and the query's numbers, when the policy and the coefficients of the
// negatives are done. parts: a number for each warp.
template <class Policy, class Source, class Row, class T>
__device__ __forceinline__ void finish_row(const Policy& policy, const Source& source,
                                           const Row& row, const int* column, const T* d,
                                           const T* y, T* parts) {
  T radial = 0;
  if (source.gradient()) {
    source.write_tail();
    for (int i = int(threadIdx.x); i < row.count(); i += kRowThreads)
      radial += source.write_positive(column[i], d[i], 2 * y[i] - 1, row.grad_distance[i],
                                      row.grad_angle[i]);
    radial = block_sum<kRowThreads>(radial, parts);
  }
  const T a = row.total(0), b = row.total(1), c = row.total(2);
  if (threadIdx.x == 0) source.report(1, policy.total(a, b, c), a, b, c, radial);
}

// False, and nothing is done, if there are more positives than a few.
template <bool kHeld, class Policy, class Source, class T>
__device__ __forceinline__ bool turn_few_row(const Policy& policy, const Source& source,
                                             FewShared<T>& s, T* held) {
  if constexpr (kHeld) source.prefetch(held);
  const int n = find_few(source.query, s);
  if constexpr (kHeld) source.wait();
  if (n > kFewPositives) return false;
  if (n == 0) {
    source.write_all(false);
    if (threadIdx.x == 0) source.report(0, T(0), T(0), T(0), T(0), T(0));
    return true;
  }
  const auto turn = [&](const auto& columns) {
    if (load_row<kHeld>(source, columns, n, s.column, s.d, s.y)) return;
    FewRow<T, Source, std::decay_t<decltype(columns)>> few(n, s, source, columns);
    policy(few);
    finish_row(policy, source, few, s.column, s.d, s.y, s.part[0]);
  };
  if constexpr (kHeld)
    turn(HeldColumns<T>{held});
  else
    turn(source);
  return true;
}

// held: dynamic shared memory for a row, if kHeld.
template <bool kHeld, class Source, class Policy>
__global__ void __launch_bounds__(kRowThreads, kFewBlocks<typename Source::Number>)
    turn_few(const typename Source::Task task, const Policy policy, const Queue queue) {
  using T = typename Source::Number;
  __shared__ FewShared<T> shared;
  DRSL_DYNAMIC_SHARED(T, held);
  const int64_t rows = task.row_count();
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const bool few = turn_few_row<kHeld>(policy, Source(task, row), shared, held);
    if (!few && threadIdx.x == 0) queue.row[atomicAdd(queue.queued, 1u)] = int(row);
    __syncthreads();
  }
}

template <class Policy, class Source, class T>
__device__ __forceinline__ void turn_many_row(const Policy& policy, const Source& source,
                                              char* slot, typename ManyRow<T>::Shared& shared,
                                              int* counts, T* parts) {
  ManyRow<T> many(slot, source.padded(), shared);
  many.gradient = source.gradient();
  const int n = find_many(source.query, many.column(), counts);
  const HeldColumns<T> columns{many.distance()};
  if (load_row<false>(source, columns, n, many.column(), many.d(), many.y())) return;
  many.begin(n);
  policy(many);
  __syncthreads();
  if (source.gradient()) {
    for_each_quad(source.padded(), [&](int k) {
      source.write(k, columns.get(k), HeldColumns<T>{many.charges()}.get(k));
    });
    __syncthreads();
  }
  finish_row(policy, source, many, many.column(), many.d(), many.y(), parts);
}

template <class Source, class Policy>
__global__ void __launch_bounds__(kRowThreads, kManyBlocks<typename Source::Number>)
    turn_many(const typename Source::Task task, const Policy policy, const Queue queue,
              const int64_t slot_bytes) {
  using T = typename Source::Number;
  __shared__ typename ManyRow<T>::Shared shared;
  __shared__ T parts[kRowWarps];
  __shared__ int counts[kRowWarps];
  __shared__ int taken;  // −1: none is left
  for (;;) {
    if (threadIdx.x == 0) {
      const unsigned at = atomicAdd(queue.taken, 1u);
      taken = at < *queue.queued ? queue.row[at] : -1;
    }
    __syncthreads();
    const int row = taken;
    __syncthreads();
    if (row < 0) break;
    turn_many_row<Policy, Source, T>(policy, Source(task, row),
                                     queue.slots + blockIdx.x * slot_bytes, shared, counts, parts);
    __syncthreads();
  }
  if (threadIdx.x == 0 && atomicAdd(queue.left, 1u) == gridDim.x - 1)  // nobody reads them any more
    *queue.queued = *queue.taken = *queue.left = 0;
}

}  // namespace drsl::cuda
