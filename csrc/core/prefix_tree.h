#pragma once
// Prefix sums over n places that may be added to at any time, W numbers of T a place.
//
//   add(t, v)      place t += v                      prefix(t) = Σ of the places before t
//
// A tree of fan-out 16: each node keeps, for each of its children, the sum of the children before
// it. Adding goes through a whole node a level, without a branch, its lanes under a mask; reading
// takes one entry a level. Three levels hold 4,096 places: O(log n) with a small constant where a
// Fenwick tree hops through memory.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include "core/host_device.h"

namespace drsl {

template <class T, int W>
class PrefixTree {
 public:
  void reset(int places) {
    levels_ = 0;
    size_t size = 0;
    for (int nodes = places + 1; levels_ == 0 || nodes > 1;) {  // + 1: prefix(places) is the total
      nodes = (nodes + int(kFan) - 1) / int(kFan);
      offset_[levels_++] = size;
      size += size_t(nodes) * kFan * W;
    }
    data_.assign(size, T(0));
  }

  DRSL_HD void add(unsigned t, const T (&v)[W]) {
    Places part;  // which of the W numbers a lane holds; a constant, like `child` below
    for (int k = 0; k < kLanes; ++k) part[k] = Int(k % W);
    Lanes value = Lanes{} + v[0];
    for (int w = 1; w < W; ++w) value = part == Places{} + Int(w) ? Lanes{} + v[w] : value;
    for (int l = 0; l < levels_; ++l, t /= kFan) {
      T* node = data_.data() + offset_[l] + size_t(t / kFan) * kFan * W;
      const Places own = Places{} + Int(t % kFan);
      for (int first = 0; first < int(kFan) * W; first += kLanes) {
        Places child;
        for (int k = 0; k < kLanes; ++k) child[k] = Int((first + k) / W);
        add_to(node + first, child > own ? value : Lanes{});
      }
    }
  }

  DRSL_HD void prefix(unsigned t, T (&sum)[W]) const {
    Entry total{};
    for (int l = 0; l < levels_; ++l, t /= kFan) {
      Entry e;
      std::memcpy(&e, data_.data() + offset_[l] + size_t(t) * W, sizeof e);
      total += e;
    }
    std::memcpy(&sum, &total, sizeof sum);
  }

 private:
  using Int = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
  typedef T Lanes __attribute__((vector_size(64)));
  typedef Int Places __attribute__((vector_size(64)));
  typedef T Entry __attribute__((vector_size(W * sizeof(T))));
  static constexpr int kLanes = 64 / sizeof(T);

  static DRSL_HD void add_to(T* p, Lanes v) {
    Lanes sum;
    std::memcpy(&sum, p, sizeof sum);
    sum += v;
    std::memcpy(p, &sum, sizeof sum);
  }

  static constexpr unsigned kFan = 16;
  static constexpr int kMaxLevels = 9;
  std::vector<T> data_;  // level by level, node by node, child by child
  size_t offset_[kMaxLevels] = {};
  int levels_ = 0;
};

}  // namespace drsl
