#pragma once
// The launches of a turn, for whichever source.
#include <algorithm>

#include "cuda/runtime.h"
#include "cuda/turn.cuh"
#include "cuda/turn_each.cuh"

namespace drsl::cuda {

constexpr int64_t kMostSlots = 264;         // two blocks for each multiprocessor of a large GPU
constexpr int64_t kSlotMemory = 256 << 20;  // for all slots, unless that is less than one
constexpr int64_t kHeldBytes = 64 << 10;    // longer rows do not stay in shared memory
constexpr int64_t kPlainShared = 32 << 10;  // beside what is static, nobody has to be asked for

struct Scratch {
  int64_t queue_bytes, slot_bytes, slots;

  // item: bytes of a number
  Scratch(int64_t rows, int64_t columns, int64_t item)
      : queue_bytes((rows * int64_t(sizeof(int)) + 255) / 256 * 256) {
    const int64_t padded = (columns + kLine - 1) / kLine * kLine;
    slot_bytes =
        item == 8 ? ManyRow<double>::slot_bytes(padded) : ManyRow<float>::slot_bytes(padded);
    slots = std::max<int64_t>(
        1, std::min({kMostSlots, rows, kSlotMemory / std::max<int64_t>(1, slot_bytes)}));
  }
  int64_t bytes() const { return kScratchZeros + queue_bytes + slots * slot_bytes; }

  Queue queue(void* scratch) const {
    auto* const counter = static_cast<unsigned*>(scratch);
    char* const rest = static_cast<char*>(scratch) + kScratchZeros;
    // counters that many blocks add to lie in lines of their own
    return {counter, counter + 16, counter + 32, reinterpret_cast<int*>(rest), rest + queue_bytes};
  }
};

// A kernel with a row's columns in shared memory.
template <class Kernel>
void allow_shared(Kernel kernel, int64_t shared, const char* name) {
  if (shared > kPlainShared)
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(shared)),
          name);
}

template <bool kHeld, class Source, class Policy>
void launch_each(const typename Source::Task& task, const Policy& policy, int64_t shared,
                 cudaStream_t stream) {
  const auto kernel = turn_each<kHeld, Source, Policy>;
  allow_shared(kernel, shared, "turn_each");
  DRSL_LAUNCH(kernel, grid_blocks(task.row_count()), kRowThreads, size_t(shared), stream, task,
              policy);
  check_launch("turn_each");
}

template <bool kHeld, class Source, class Policy>
void launch_few(const typename Source::Task& task, const Policy& policy, const Queue& queue,
                int64_t shared, cudaStream_t stream) {
  const auto kernel = turn_few<kHeld, Source, Policy>;
  allow_shared(kernel, shared, "turn_few");
  DRSL_LAUNCH(kernel, grid_blocks(task.row_count()), kRowThreads, size_t(shared), stream, task,
              policy, queue);
  check_launch("turn_few");
}

// turn_few, and turn_many for what it leaves.
template <class Source, class Policy>
void launch_lists(const typename Source::Task& task, int64_t columns, const Policy& policy,
                  int64_t held, void* memory, cudaStream_t stream) {
  const Scratch scratch(task.row_count(), columns, sizeof(typename Source::Number));
  const Queue queue = scratch.queue(memory);
  if (held <= kHeldBytes)
    launch_few<true, Source>(task, policy, queue, held, stream);
  else
    launch_few<false, Source>(task, policy, queue, 0, stream);
  if (columns <= kFewPositives) return;  // nobody can have more
  const auto kernel = turn_many<Source, Policy>;
  DRSL_LAUNCH(kernel, unsigned(scratch.slots), kRowThreads, 0, stream, task, policy, queue,
              scratch.slot_bytes);
  check_launch("turn_many");
}

template <class Source, class Policy>
void launch_turn(const typename Source::Task& task, int64_t columns, const Policy& policy,
                 void* memory, cudaStream_t stream) {
  constexpr int64_t kMostRows = std::numeric_limits<int32_t>::max();  // kernels count in 32 bits
  if (task.row_count() > kMostRows || columns > kMostRows - kRowThreads * 4)
    check(cudaErrorInvalidValue, "turn: too many rows or columns");
  const int64_t item = sizeof(typename Source::Number);
  const int64_t held = (columns + kLine - 1) / kLine * kLine * item;
  if constexpr (Policy::kWay != Way::kRanks) {
    if (held <= kHeldBytes)
      launch_each<true, Source>(task, policy, held, stream);
    else
      launch_each<false, Source>(task, policy, 0, stream);
  } else {
    launch_lists<Source>(task, columns, policy, held, memory, stream);
  }
}

}  // namespace drsl::cuda
