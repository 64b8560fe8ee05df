#pragma once
// A block and the turns that its threads take. Whoever reaches a barrier or a collective hands over to
// the next thread that can go on; who finds none wakes those whose barrier or collective is complete.
#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <exception>
#include <source_location>
#include <stdexcept>
#include <string>
#include <vector>

#include "cuda_on_host/config.h"
#include "cuda_on_host/fiber.h"
#include "cuda_on_host/late_copies.h"
#include "cuda_on_host/vectors.h"

namespace cuda_on_host {

using Where = std::source_location;

[[noreturn]] inline void fail(const std::string& what) {
  throw std::runtime_error("cuda_on_host: " + what);
}
inline std::string place(const Where& where) {
  return std::string(where.file_name()) + ":" + std::to_string(where.line());
}

// What a lane brings to a collective and takes from it. The last lane to come serves all.
struct Call {
  static constexpr int kBytes = 16;
  enum class Kind { kBarrier, kShuffle, kVote, kGather } kind = Kind::kBarrier;
  const char* name = nullptr;
  Where where;
  uint32_t mask = 0;
  unsigned source = 0;                      // kShuffle: the lane whose value is taken
  alignas(16) unsigned char value[kBytes];  // kVote: one byte, 0 or 1
  alignas(16) unsigned char result[kBytes];
  unsigned char (*all)[kBytes] = nullptr;  // kGather: the values of all lanes
};

struct Thread {
  Fiber fiber;
  uint3 index{};
  Where barrier;  // where it waits for the block
  bool predicate = false;
  Call call;
  LateCopies copies;
};

// Each lane that exists is in one of the sets.
struct Warp {
  uint32_t exist = 0, ready = 0, waiting = 0, at_barrier = 0, returned = 0;
};

class Block {
 public:
  Block(dim3 grid, dim3 block, size_t shared_bytes, Stacks& stacks);
  void run(uint3 index, void (*kernel)(const void*), const void* arguments);

  // What threads call.
  void barrier(bool predicate, const Where& where);
  void collective(Call::Kind kind, const char* name, uint32_t mask, const Where& where);
  Thread& thread() { return threads_[current_]; }
  unsigned rank() const { return current_; }
  uint32_t alive() const { return warp().exist & ~warp().returned; }
  uint32_t exist() const { return warp().exist; }
  unsigned count() const { return unsigned(threads_.size()); }
  unsigned predicates() const { return predicates_; }
  unsigned char* shared() { return shared_.data(); }
  uint64_t switches() const { return switches_; }

 private:
  static constexpr size_t kFence = 64;  // bytes behind dynamic shared memory that nobody may touch

  static void enter();
  const Warp& warp() const { return warps_[current_ / 32]; }
  void leave(uint32_t Warp::* set, bool last = false);
  bool refill();
  void collect();
  void wake(unsigned w);
  void serve(unsigned w, uint32_t mask);
  void open_barrier();
  [[noreturn]] void deadlock() const;
  void begin_shared();
  void end_shared();

  dim3 grid_, block_;
  Stacks& stacks_;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::vector<unsigned char> shared_;
  Fiber main_;
  void (*kernel_)(const void*) = nullptr;
  const void* arguments_ = nullptr;
  std::exception_ptr error_;

  std::vector<unsigned> queue_;  // who goes on in this round
  size_t next_ = 0;
  unsigned current_ = 0;
  unsigned turn_ = 0, rounds_ = 0;  // kWarp: which warp's turn it is; barriers so far
  unsigned predicates_ = 0;
  uint64_t random_ = 0, switches_ = 0;
};

// The block that this host thread runs.
inline constinit thread_local Block* running = nullptr;

inline Block& this_block() {
  if (!running) fail("device code was called outside of a kernel");
  return *running;
}
inline unsigned lane() { return this_block().rank() % 32; }

}  // namespace cuda_on_host
