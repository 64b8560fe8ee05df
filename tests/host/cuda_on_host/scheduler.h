#pragma once
// How the threads of a block take turns.
#include "cuda_on_host/block.h"

namespace cuda_on_host {

inline Block::Block(dim3 grid, dim3 block, size_t shared_bytes, Stacks& stacks)
    : grid_(grid), block_(block), stacks_(stacks), shared_(shared_bytes + kFence) {
  const unsigned n = block.x * block.y * block.z;
  threads_.resize(n), warps_.resize((n + 31) / 32);
  for (unsigned i = 0; i < n; ++i) {
    threads_[i].index = {i % block.x, i / block.x % block.y, i / (block.x * block.y)};
    warps_[i / 32].exist |= 1u << i % 32;
  }
  queue_.reserve(n);
  stacks_.reserve(n);
}

inline void Block::run(uint3 index, void (*kernel)(const void*), const void* arguments) {
  kernel_ = kernel, arguments_ = arguments, error_ = nullptr;
  blockIdx = index, blockDim = block_, gridDim = grid_;
  for (unsigned i = 0; i < count(); ++i) {
    prepare(threads_[i].fiber, &enter, stacks_.stack(i), Stacks::bytes(i));
    threads_[i].copies.forget();
  }
  for (Warp& w : warps_) w.ready = w.exist, w.waiting = w.at_barrier = w.returned = 0;
  turn_ = rounds_ = 0;
  const uint64_t number = index.x + uint64_t(grid_.x) * (index.y + uint64_t(grid_.y) * index.z);
  random_ = (config().seed + number) * 0x9e3779b97f4a7c15u;
  begin_shared();
  main_.stack = nullptr;
  running = this;
  refill();
  current_ = queue_[next_++];
  threadIdx = thread().index;
  switch_fibers(main_, thread().fiber);
  running = nullptr;
  if (error_) {
    stacks_.forget();
    std::rethrow_exception(error_);
  }
  end_shared();
}

// Where every fiber begins.
inline void Block::enter() {
  Block& block = *running;
  begin(block.main_);
  try {
    block.kernel_(block.arguments_);
    block.leave(&Warp::returned, true);
  } catch (...) {
    block.error_ = std::current_exception();
  }
  // All have returned, or something went wrong and the others are left where they are.
  switch_fibers(block.thread().fiber, block.main_, true);
  std::terminate();
}

// The current thread joins a set and others go on. Comes back when it is ready again; the last time, only
// if there is nobody left.
inline void Block::leave(uint32_t Warp::* set, bool last) {
  Warp& mine = warps_[current_ / 32];
  mine.ready &= ~(1u << current_ % 32);
  mine.*set |= 1u << current_ % 32;
  if (next_ == queue_.size() && !refill()) return;
  const unsigned from = current_;
  current_ = queue_[next_++];
  if (current_ == from) return;
  ++switches_;
  threadIdx = thread().index;
  switch_fibers(threads_[from].fiber, thread().fiber, last);
}

// The next round. False if all threads have returned.
inline bool Block::refill() {
  queue_.clear(), next_ = 0;
  const unsigned warps = unsigned(warps_.size());
  for (;;) {
    if (config().order == Order::kWarp) {
      for (; turn_ < warps; ++turn_) {
        const unsigned w = (turn_ + rounds_) % warps;  // another one is first after each barrier
        wake(w);
        for (uint32_t lanes = warps_[w].ready; lanes; lanes &= lanes - 1)
          queue_.push_back(w * 32 + unsigned(std::countr_zero(lanes)));
        if (!queue_.empty()) return true;
      }
      turn_ = 0, ++rounds_;
    } else {
      for (unsigned w = 0; w < warps; ++w) wake(w);
      collect();
      if (!queue_.empty()) return true;
    }
    const auto returned = [](const Warp& w) { return w.returned == w.exist; };
    if (std::all_of(warps_.begin(), warps_.end(), returned)) return false;
    open_barrier();
  }
}

inline void Block::collect() {
  for (unsigned w = 0; w < warps_.size(); ++w)
    for (uint32_t lanes = warps_[w].ready; lanes; lanes &= lanes - 1)
      queue_.push_back(w * 32 + unsigned(std::countr_zero(lanes)));
  if (config().order == Order::kReverse) std::reverse(queue_.begin(), queue_.end());
  if (config().order != Order::kShuffle) return;
  for (size_t i = queue_.size(); i > 1; --i) {
    random_ = random_ * 6364136223846793005u + 1442695040888963407u;
    std::swap(queue_[i - 1], queue_[(random_ >> 33) % i]);
  }
}

// Lets those collectives of a warp go on that all lanes of their masks have come to.
inline void Block::wake(unsigned w) {
  Warp& warp = warps_[w];
  for (uint32_t lanes = warp.waiting; lanes;) {
    const uint32_t mask = threads_[w * 32 + unsigned(std::countr_zero(lanes))].call.mask;
    if ((mask & ~warp.waiting) == 0) {
      serve(w, mask);
      warp.waiting &= ~mask, warp.ready |= mask;
      lanes &= ~mask;
    } else {
      lanes &= lanes - 1;
    }
  }
}

inline void Block::serve(unsigned w, uint32_t mask) {
  Thread* const lanes = &threads_[w * 32];
  const Call& first = lanes[std::countr_zero(mask)].call;
  uint32_t votes = 0;
  for (uint32_t left = mask; left; left &= left - 1) {
    const unsigned i = unsigned(std::countr_zero(left));
    const Call& call = lanes[i].call;
    if (call.mask != mask)
      fail("lanes of one collective name different masks: " + place(first.where) + " and " +
           place(call.where));
    if (call.name != first.name && std::strcmp(call.name, first.name) != 0)
      fail(std::string("lanes of a warp meet in different collectives: ") + first.name + " at " +
           place(first.where) + " and " + call.name + " at " + place(call.where));
    votes |= uint32_t(call.value[0] != 0) << i;
  }
  for (uint32_t left = mask; left; left &= left - 1) {
    Call& call = lanes[std::countr_zero(left)].call;
    if (call.kind == Call::Kind::kShuffle)
      std::memcpy(call.result, lanes[call.source].call.value, Call::kBytes);
    else if (call.kind == Call::Kind::kVote)
      std::memcpy(call.result, &votes, sizeof votes);
    else if (call.kind == Call::Kind::kGather)
      for (uint32_t from = mask; from; from &= from - 1) {
        const int i = std::countr_zero(from);
        std::memcpy(call.all[i], lanes[i].call.value, Call::kBytes);
      }
  }
}

inline void Block::open_barrier() {
  unsigned here = 0, gone = 0;
  for (const Warp& w : warps_) {
    here += unsigned(std::popcount(w.at_barrier));
    gone += unsigned(std::popcount(w.returned));
  }
  if (here + gone < count() || here == 0) deadlock();
  const Thread* first = nullptr;
  predicates_ = 0;
  for (unsigned i = 0; i < count(); ++i) {
    if (!(warps_[i / 32].at_barrier >> i % 32 & 1)) continue;
    const Thread& t = threads_[i];
    if (!first) first = &t;
    if (t.barrier.line() != first->barrier.line() ||
        std::strcmp(t.barrier.file_name(), first->barrier.file_name()) != 0)
      fail("threads of one block wait at different barriers: " + place(first->barrier) + " and " +
           place(t.barrier));
    predicates_ += t.predicate;
  }
  if (gone > 0)
    fail("the barrier at " + place(first->barrier) + " misses " + std::to_string(gone) +
         " threads that have returned");
  for (Warp& w : warps_) w.ready = w.at_barrier, w.at_barrier = 0;
}

inline void Block::deadlock() const {
  std::string waits;
  for (unsigned i = 0, told = 0; i < count() && told < 4; ++i) {
    const Warp& w = warps_[i / 32];
    const Thread& t = threads_[i];
    // One of each warp that waits for lanes, and one that waits for the block.
    if (w.waiting >> i % 32 & 1) {
      waits +=
          "; thread " + std::to_string(i) + " in " + t.call.name + " at " + place(t.call.where);
      i |= 31u, ++told;
    } else if (w.at_barrier >> i % 32 & 1 && waits.find("barrier") == std::string::npos) {
      waits += "; thread " + std::to_string(i) + " at the barrier " + place(t.barrier);
      ++told;
    }
  }
  fail("deadlock, a barrier or a collective was not reached by all of its threads" + waits);
}

inline void Block::barrier(bool predicate, const Where& where) {
  thread().barrier = where, thread().predicate = predicate;
  leave(&Warp::at_barrier);
}

inline void Block::collective(Call::Kind kind, const char* name, uint32_t mask,
                              const Where& where) {
  Call& call = thread().call;
  call.kind = kind, call.name = name, call.where = where;
  // Lanes that a block never had are named by every full mask.
  call.mask = mask & exist();
  if (!(mask >> current_ % 32 & 1))
    fail(std::string("the mask of ") + name + " leaves out the calling lane, " + place(where));
  if (call.mask & warp().returned)
    fail(std::string("the mask of ") + name + " names a lane that has returned, " + place(where));
  if (kind == Call::Kind::kShuffle && !(call.mask >> call.source & 1))
    fail(std::string(name) + " reads lane " + std::to_string(call.source) +
         ", which its mask leaves out or the block does not have, " + place(where));
  leave(&Warp::waiting);
}

// All ones: NaN, -1, or an index far out of bounds.
inline void Block::begin_shared() {
  permit(shared_.data(), shared_.size());
  std::memset(shared_.data(), 0xff, shared_.size());
  forbid(shared_.data() + shared_.size() - kFence, kFence);
}

inline void Block::end_shared() {
  permit(shared_.data(), shared_.size());
  if (std::any_of(shared_.end() - kFence, shared_.end(), [](unsigned char c) { return c != 0xff; }))
    fail("the kernel wrote beyond its dynamic shared memory");
}

}  // namespace cuda_on_host
