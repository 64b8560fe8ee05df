#pragma once
// A grid's blocks, and what a launch may ask for.
#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "cuda_on_host/scheduler.h"
#include "cuda_on_host/static_shared.h"

namespace cuda_on_host {

constexpr size_t kUsualShared = size_t(48) << 10;  // of a block, if no more is asked for

struct SharedLimits {
  std::mutex mutex;
  std::unordered_map<const void*, size_t> of_kernel;
};
inline SharedLimits& shared_limits() {
  static SharedLimits limits;
  return limits;
}
inline void allow_shared(const void* kernel, size_t bytes) {
  const std::lock_guard lock(shared_limits().mutex);
  shared_limits().of_kernel[kernel] = bytes;
}
inline size_t allowed_shared(const void* kernel) {
  const std::lock_guard lock(shared_limits().mutex);
  const auto found = shared_limits().of_kernel.find(kernel);
  return found == shared_limits().of_kernel.end() ? kUsualShared
                                                  : std::max(found->second, kUsualShared);
}

// Whether the last launch of this host thread was not followed by cudaGetLastError.
inline bool& unchecked_launch() {
  static thread_local bool unchecked = false;
  return unchecked;
}

inline Counts& counts() {
  static Counts all;
  return all;
}

inline void check_launch(const void* kernel, dim3 grid, dim3 block, size_t shared_bytes) {
  if (running) fail("a kernel launches a kernel");
  if (config().checked_launches && unchecked_launch()) {
    unchecked_launch() = false;
    fail("the launch before this one was not followed by cudaGetLastError");
  }
  const uint64_t threads = uint64_t(block.x) * block.y * block.z;
  if (threads == 0 || threads > 1024 || block.z > 64)
    fail("a block of " + std::to_string(threads) + " threads");
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffffu || grid.y > 65535 ||
      grid.z > 65535)
    fail("a grid of " + std::to_string(grid.x) + " x " + std::to_string(grid.y) + " x " +
         std::to_string(grid.z) + " blocks");
  if (shared_bytes > config().most_shared)
    fail(std::to_string(shared_bytes) + " bytes of shared memory, more than this GPU has");
  if (shared_bytes > allowed_shared(kernel))
    fail(std::to_string(shared_bytes) +
         " bytes of shared memory, which cudaFuncSetAttribute was not asked for");
}

// Blocks of one launch, shared by a few host threads.
class Grid {
 public:
  Grid(dim3 grid, dim3 block, size_t shared_bytes, const void* kernel, void (*call)(const void*),
       const void* arguments)
      : grid_(grid),
        block_(block),
        shared_bytes_(shared_bytes),
        call_(call),
        arguments_(arguments),
        blocks_(uint64_t(grid.x) * grid.y * grid.z),
        shared_(StaticShared::of_this_program().of(kernel)) {}

  void run() {
    std::vector<std::thread> others;
    const uint64_t threads =
        std::min<uint64_t>(uint64_t(std::max(1, config().os_threads)), blocks_);
    for (uint64_t i = 1; i < threads; ++i) others.emplace_back([this] { work(); });
    work();
    for (std::thread& other : others) other.join();
    ++counts().launches;
    counts().blocks += blocks_, counts().switches += switches_;
    if (error_) std::rethrow_exception(error_);
  }

 private:
  void work() {
    static thread_local Stacks stacks;
    const StaticShared& all = StaticShared::of_this_program();
    try {
      char* const shared = all.memory();
      StaticShared::fill(shared, all.everywhere());
      Block block(grid_, block_, shared_bytes_, stacks);
      for (uint64_t i; !failed_ && (i = next_++) < blocks_;) {
        const uint3 index{unsigned(i % grid_.x), unsigned(i / grid_.x % grid_.y),
                          unsigned(i / grid_.x / grid_.y)};
        StaticShared::fill(shared, shared_);
        block.run(index, call_, arguments_);
      }
      switches_ += block.switches();
    } catch (...) {
      if (!failed_.exchange(true)) error_ = std::current_exception();
    }
  }

  dim3 grid_, block_;
  size_t shared_bytes_;
  void (*call_)(const void*);
  const void* arguments_;
  uint64_t blocks_;
  std::vector<StaticShared::Piece> shared_;  // the kernel's own
  std::atomic<uint64_t> next_{0}, switches_{0};
  std::atomic<bool> failed_{false};
  std::exception_ptr error_;
};

// Arguments are converted to what the kernel takes, once, as by a launch on a GPU.
template <class... A, class... Given>
void launch(void (*kernel)(A...), dim3 grid, dim3 block, size_t shared_bytes, Given&&... given) {
  static_assert(sizeof...(A) == sizeof...(Given),
                "a kernel is given as many arguments as it takes");
  static_assert((std::is_trivially_copyable_v<std::remove_cvref_t<A>> && ...));
  check_launch(reinterpret_cast<const void*>(kernel), grid, block, shared_bytes);
  const auto call = [kernel, ... a = static_cast<A>(given)] { kernel(a...); };
  const auto body = [](const void* call_) { (*static_cast<decltype(call)*>(call_))(); };
  Grid(grid, block, shared_bytes, reinterpret_cast<const void*>(kernel), body, &call).run();
  unchecked_launch() = true;
}

// The block's dynamic shared memory.
template <class T>
T* dynamic_shared() {
  return reinterpret_cast<T*>(this_block().shared());
}

}  // namespace cuda_on_host
