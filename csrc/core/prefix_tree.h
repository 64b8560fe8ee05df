#pragma once
// Prefix sums over n places that may be added to at any time, W numbers a place.
//
//   add(t, v)      place t += v                      prefix(t) = Σ of the places before t
//
// A tree of fan-out 16: each node keeps, for each of its children, the sum of the children before it. Adding
// touches at most 15 neighbours a level (whole cache lines, SIMD), reading touches one. Three levels hold 4,096
// places; the cost stays O(log n) with a small constant where a Fenwick tree hops through memory.
#include <cstddef>
#include <cstring>
#include <vector>

namespace drsl {

template <int W>
class PrefixTree {
 public:
  struct Sum {
    double v[W] = {};
  };

  // Scratch is kept between uses: a thread resets one tree for row after row.
  void reset(int places) {
    levels_ = 0;
    size_t size = 0;
    for (int nodes = places + 1; levels_ == 0 || nodes > 1;) {  // + 1: prefix(places) is the total
      nodes = (nodes + kFan - 1) / kFan;
      offset_[levels_++] = size;
      size += size_t(nodes) * kFan * W;
    }
    data_.assign(size, 0.0);
  }

  void add(int t, const double (&v)[W]) {
    for (int l = 0; l < levels_; ++l, t /= kFan) {
      double* node = data_.data() + offset_[l] + size_t(t / kFan) * kFan * W;
      for (int c = t % kFan + 1; c < kFan; ++c)
        for (int w = 0; w < W; ++w) node[c * W + w] += v[w];
    }
  }

  Sum prefix(int t) const {
    Sum s;
    for (int l = 0; l < levels_; ++l, t /= kFan) {
      const double* entry = data_.data() + offset_[l] + size_t(t) * W;
      for (int w = 0; w < W; ++w) s.v[w] += entry[w];
    }
    return s;
  }

 private:
  static constexpr int kFan = 16;
  static constexpr int kMaxLevels = 9;
  std::vector<double> data_;
  size_t offset_[kMaxLevels] = {};
  int levels_ = 0;
};

}  // namespace drsl
