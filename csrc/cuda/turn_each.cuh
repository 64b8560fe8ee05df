#pragma once
// A query's distances → its loss and coefficients, for losses that need no list of all positives: a
// block a query, whatever the number of its positives.
//
// What turn.cuh keeps in two kernels is one here: columns carry in their sign which of them are
// positives, and policies go over all of them (row_each.cuh), or do so for 64 positives at a time
// (row_smooth.cuh). Columns that do not fit in shared memory stay where the source keeps them.
#include "core/losses.h"
#include "cuda/query.cuh"
#include "cuda/row_each.cuh"
#include "cuda/row_smooth.cuh"

namespace drsl::cuda {

template <class T>
constexpr int kEachBlocks = 2;  // of a multiprocessor, that registers are shared out for

template <class T>
struct TurnEachShared {
  union {
    EachShared<T> each;
    SmoothShared<T> smooth;
  };
  int counts[2][kRowWarps];
};

// Positives and others among the entries that are left, the own copy not counted.
__device__ __forceinline__ void count_entries(const Query& query, int own,
                                              int (&counts)[2][kRowWarps], int& positives,
                                              int& others) {
  positives = others = 0;
#pragma unroll 4
  for (int k = int(threadIdx.x); k < query.columns; k += kRowThreads) {
    if (k == own || !query.compares(k)) continue;
    const bool positive = query.r_label[k] == query.label;
    positives += positive;
    others += !positive;
  }
  positives = block_sum<kRowThreads>(positives, counts[0]);
  others = block_sum<kRowThreads>(others, counts[1]);
}

// Signed columns; own: a column that is a positive whatever its label, or −1. Whether the query is bad.
template <bool kHeld, Measure kMeasure, class Source, class T>
__device__ __forceinline__ bool load_signed(const Source& source, int own, T* held) {
  bool bad = false;
  for_each_quad(source.padded(), [&](int k) {
    const auto raw = [&] {
      if constexpr (kHeld)
        return HeldColumns<T>{held}.get(k);
      else
        return source.raw(k);
    };
    const auto entries = source.template load<kMeasure>(k, raw());
    Quad<T> v = entries.distance;
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const bool itself = k + e == own && source.query.compares(own);
      v.at[e] = marked(v.at[e], itself || source.query.positive(k + e));
    }
    if constexpr (kHeld)
      HeldColumns<T>{held}.store(k, v);
    else
      source.kept().store(k, v);
    bad |= entries.bad;
  });
  return __syncthreads_or(bad);
}

template <class Policy, class Source, class Columns, class T>
__device__ __forceinline__ void run_policy(const Policy& policy, const Source& source,
                                           const Columns& columns, int entries, int positives,
                                           T weighs, TurnEachShared<T>& s) {
  T term[3];
  const auto take_terms = [&](const auto& row) {
    for (int t = 0; t < 3; ++t) term[t] = row.total(t);
  };
  if constexpr (Policy::kWay == Way::kEach) {
    EachRow<T, Source, Columns> row(entries, s.each, source, columns);
    policy(row);
    take_terms(row);
  } else {
    SmoothRow<T, Source, Columns> row(positives, s.smooth, source, columns);
    for (int first = 0; first < positives; first += kSmoothPositives) {
      row.begin(first);
      policy(row);
      __syncthreads();
    }
    take_terms(row);
    if (source.gradient())
      for_each_quad(source.padded(), [&](int k) { source.finish_by_cosine(k); });
  }
  if (source.gradient()) source.write_tail();
  if (threadIdx.x == 0)
    source.report(int(weighs), policy.total(term[0], term[1], term[2]), term[0], term[1], term[2],
                  T(0));
}

// held: dynamic shared memory for a row, if kHeld.
template <bool kHeld, class Policy, class Source, class T>
__device__ __forceinline__ void turn_each_row(const Policy& policy, Source& source,
                                              TurnEachShared<T>& s, T* held) {
  if constexpr (kHeld) source.prefetch(held);
  int positives, others;
  const int own = source.own_column(), counted_own = policy.own_is_positive ? own : -1;
  count_entries(source.query, own, s.counts, positives, others);
  const int weighs = int(policy.weight(positives, others));
  if constexpr (kHeld) source.wait();
  if (weighs == 0) {
    source.write_all(false);
    if (threadIdx.x == 0) source.report(0, T(0), T(0), T(0), T(0), T(0));
    return;
  }
  source.weigh(T(weighs));
  if (load_signed<kHeld, Policy::kMeasure>(source, counted_own, held)) {
    source.write_all(true);
    if (threadIdx.x == 0) source.report(weighs, kNaN<T>, kNaN<T>, kNaN<T>, kNaN<T>, T(0));
    return;
  }
  positives += counted_own >= 0 && source.query.compares(counted_own);
  if constexpr (kHeld)
    run_policy(policy, source, HeldColumns<T>{held}, positives + others, positives, T(weighs), s);
  else
    run_policy(policy, source, source.kept(), positives + others, positives, T(weighs), s);
}

template <bool kHeld, class Source, class Policy>
__global__ void __launch_bounds__(kRowThreads, kEachBlocks<typename Source::Number>)
    turn_each(const typename Source::Task task, const Policy policy) {
  using T = typename Source::Number;
  __shared__ TurnEachShared<T> shared;
  DRSL_DYNAMIC_SHARED(T, held);
  const int64_t rows = task.row_count();
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    Source source(task, row);
    turn_each_row<kHeld>(policy, source, shared, held);
    __syncthreads();
  }
}

}  // namespace drsl::cuda
