#pragma once
// Open addressing from 64-bit keys to small numbers, for as many keys as it was made for. The
// caller decides what equal means, so that one table serves labels (equal keys) and rows (equal
// bits behind equal keys).
#include <cstddef>
#include <cstdint>
#include <vector>

namespace drsl {

class HashIndex {
 public:
  explicit HashIndex(int64_t keys) {
    size_t slots = 8;
    while (slots < 2 * size_t(keys)) slots *= 2;
    slot_.assign(slots, -1);
  }

  // The stored number `n` with equal(n), or `fresh` after storing it; with fresh < 0, −1 if there
  // is none.
  template <class Equal>
  int32_t find(uint64_t key, int32_t fresh, Equal equal) {
    const size_t mask = slot_.size() - 1;
    for (size_t at = mix(key) & mask;; at = (at + 1) & mask) {
      if (slot_[at] < 0) {
        if (fresh >= 0) slot_[at] = fresh;
        return fresh;
      }
      if (equal(slot_[at])) return slot_[at];
    }
  }

 private:
  std::vector<int32_t> slot_;

  static size_t mix(uint64_t x) {  // the finaliser of MurmurHash3
    x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdULL;
    x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53ULL;
    return size_t(x ^ (x >> 33));
  }
};

}  // namespace drsl
