#pragma once
// Small batches, second launch: a block a query, whatever the number of its positives, and the last
// block of all adds up the loss. A slot of scratch for each query is affordable here, so nobody queues.
#include "cuda/reduce.cuh"
#include "cuda/source_small.cuh"
#include "cuda/turn.cuh"
#include "cuda/turn_each.cuh"

namespace drsl::cuda {

template <class T>
struct SmallTurn {
  SmallTask<T> task;
  char* slots;  // [rows, slot_bytes]
  int64_t slot_bytes;
  unsigned* finished;  // 0 before
  Reduction reduction;
  Reduced<T> out;
};

// Whether this block is the last of the grid to arrive here; what the others wrote is visible then.
__device__ __forceinline__ bool arrives_last(unsigned* counter, bool* shared) {
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) *shared = atomicAdd(counter, 1u) == gridDim.x - 1;
  __syncthreads();
  __threadfence();
  return *shared;
}

template <class T>
struct SmallShared {
  union {
    FewShared<T> few;
    typename ManyRow<T>::Shared many;
    double reduce[5][kRowThreads / 32];
  };
  T parts[kRowWarps];
  int counts[kRowWarps];
};
template <class T>
struct SmallEachShared {
  union {
    TurnEachShared<T> each;
    double reduce[5][kRowThreads / 32];
  };
};

// held: dynamic shared memory for a row.
template <class Policy, class T>
__global__ void __launch_bounds__(kRowThreads, 2)
    turn_small(const __grid_constant__ SmallTurn<T> turn, const Policy policy) {
  constexpr bool kLists = Policy::kWay == Way::kRanks;
  __shared__ std::conditional_t<kLists, SmallShared<T>, SmallEachShared<T>> shared;
  __shared__ bool last;
  DRSL_DYNAMIC_SHARED(T, held);
  const int64_t row = blockIdx.x;
  SmallSource<T> source(turn.task, row);
  if constexpr (!kLists) {
    turn_each_row<true>(policy, source, shared.each, held);
  } else {
    if (!turn_few_row<true>(policy, source, shared.few, held))
      turn_many_row<Policy, SmallSource<T>, T>(policy, source, turn.slots + row * turn.slot_bytes,
                                               shared.many, shared.counts, shared.parts);
  }
  if (arrives_last(turn.finished, &last) && turn.reduction != Reduction::kNone)
    reduce_rows<kRowThreads>(turn.reduction, turn.task.row_count(), turn.task.loss, turn.task.terms,
                             turn.task.weighs, turn.out, shared.reduce);
}

}  // namespace drsl::cuda
