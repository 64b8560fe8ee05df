#pragma once
// Close entries of a tile wait here until all its queries have been counted. A row of features that one
// query wants is wanted by others too, so rows are taken a few at a time: they stay in the cache while
// one query after the other is measured against them.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "cpu/tile_counts.h"

namespace drsl {

class CloseList {
 public:
  // A row of a tile finds at most `width` entries. Nothing is allocated later, while threads run.
  CloseList(int64_t height, int64_t width) : width_(width), close_(size_t(kListed + width)) {
    runs_.reserve(size_t(height));
  }

  void clear() {
    runs_.clear();
    size_ = 0;
  }
  bool is_full() const { return size_ > kListed; }

  // Where the entries of the next row go, unless it is full; then how many of them are listed.
  Close* room() { return close_.data() + size_; }
  void add(int64_t query, int64_t count) {
    if (count) runs_.push_back({query, size_, size_ + count});
    size_ += count;
  }

  // visit(query, entries, their number): of some rows of the tile, for all queries, then of the next.
  // Of `rows`, or of so many that a query wants a few of them, as it is read too.
  template <class Visit>
  void by_rows(int64_t rows, const Visit& visit) {
    const int64_t few = kFew * width_ * int64_t(runs_.size()) / std::max<int64_t>(1, size_),
                  step = std::max({rows, few, int64_t(1)});
    for (int64_t next = step, left = size_; left > 0; next += step)
      for (Run& run : runs_) {
        Close* const from = close_.data() + run.begin;
        const int64_t count =
            std::partition_point(from, close_.data() + run.end,
                                 [=](const Close& close) { return close.entry < next; }) -
            from;
        run.begin += count;
        left -= count;
        if (count) visit(run.query, from, count);
      }
  }

 private:
  static constexpr int64_t kListed = 1 << 16, kFew = 4;
  struct Run {
    int64_t query, begin, end;
  };
  int64_t width_;
  std::vector<Close> close_;
  std::vector<Run> runs_;
  int64_t size_ = 0;
};

}  // namespace drsl
