#pragma once
// cp.async as late as it may be: nothing is read or written before the wait that has to see it, so that a
// forgotten wait or barrier finds what was there before.
#include <cstddef>
#include <cstring>
#include <vector>

namespace cuda_on_host {

// Of one thread.
class LateCopies {
 public:
  // `bytes` to `to`, of which the first `from_bytes` come from `from` and the others are 0.
  void add(void* to, const void* from, size_t from_bytes, size_t bytes) {
    copies_.push_back({to, from, from_bytes, bytes});
  }
  void commit() { groups_.push_back(copies_.size()); }
  // Until at most so many of the latest groups are under way.
  void wait(size_t groups) {
    while (done_groups_ + groups < groups_.size()) {
      for (const size_t end = groups_[done_groups_++]; done_ < end; ++done_) {
        const Copy& c = copies_[done_];
        std::memcpy(c.to, c.from, c.from_bytes);
        std::memset(static_cast<char*>(c.to) + c.from_bytes, 0, c.bytes - c.from_bytes);
      }
    }
    if (done_groups_ == groups_.size() && done_ == copies_.size()) forget();
  }
  void forget() {
    copies_.clear(), groups_.clear();
    done_ = done_groups_ = 0;
  }

 private:
  struct Copy {
    void* to;
    const void* from;
    size_t from_bytes, bytes;
  };
  std::vector<Copy> copies_;
  std::vector<size_t> groups_;  // how many copies there were at each commit
  size_t done_ = 0, done_groups_ = 0;
};

}  // namespace cuda_on_host
