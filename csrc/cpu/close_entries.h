#pragma once
// Entries of which a product does not say for certain whether they are before a match: each gets to
// its place by the cheapest means that will do, and at last by its distance.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "cpu/distances.h"
#include "cpu/match_tiles.h"
#include "cpu/rounding_bound.h"
#include "cpu/tile_counts.h"

namespace drsl {

// The matches of all queries: those of query q are offset[q] .. offset[q + 1] of the others.
struct Matches {
  const int64_t* offset;
  const int32_t* column;
  const double* value;  // d², ascending, equal ones by column
};

// What is known of a row of a tile.
template <class T>
struct RowOfTile {
  int64_t query, first;      // first: column of the tile's first entry
  const T* values;           // d² − |x|² of the entries, roughly, in units of the operands
  RoundingBound bound;       // how roughly
  double smallest, largest;  // |r|² of the tile's entries
};

// Entries of one query, at places counted from the tile's first. moved[p] += those that are before match p,
// less those that are before the one in front of it.
template <class T, class E>
class CloseEntries {
 public:
  // Nothing is allocated later, while threads run.
  CloseEntries(const Retrieval<T, E>& all, const Matches& matches)
      : all_(all),
        all_matches_(matches),
        rough_(size_t(all.width)),
        exact_(size_t(all.width)),
        slot_(size_t(all.width)),
        noted_(size_t(all.width), -1) {
    wanted_.reserve(size_t(all.width));
  }

  // By what is known without reading a row of features. Those that are left come first: their number.
  int64_t sift(const RowOfTile<T>& row, Close* close, int64_t count, int32_t* moved) {
    begin(row.query, row.first, close, count, moved);
    if (all_.on_grid)
      by_value(row);
    else
      by_own_length(row);
    return count_;
  }

  // By distances. Returns how many this took; if that is more than `most` (−1: any number), moved
  // means nothing.
  int64_t settle(int64_t query, int64_t first, Close* close, int64_t count, int64_t most,
                 int32_t* moved) {
    begin(query, first, close, count, moved);
    most_ = most;
    measured_ = 0;
    if constexpr (std::is_same_v<T, float> && std::is_same_v<E, float>)
      if (all_.scale == 1) by_rough_distance();
    by_distance();
    return measured_;
  }

 private:
  void begin(int64_t query, int64_t first, Close* close, int64_t count, int32_t* moved) {
    query_ = query;
    first_ = first;
    close_ = close;
    count_ = count;
    moved_ = moved;
    value_ = all_matches_.value + all_matches_.offset[query];
    column_ = all_matches_.column + all_matches_.offset[query];
  }

  // Not counted yet for the matches that it is close to. It is before those from `place` on.
  void put(const Close& close, int64_t place) {
    ++moved_[place];
    --moved_[close.behind];
  }
  void put(const Close& close, double value) {
    const double *const from = value_ + close.apart, *const to = value_ + close.behind;
    const double* const tied = std::lower_bound(from, to, value);
    const double* const after = std::upper_bound(tied, to, value);
    const auto column = int32_t(first_ + close.entry);
    put(close,
        std::lower_bound(column_ + (tied - value_), column_ + (after - value_), column) - column_);
  }

  // d² is from `least` to `most`: keeps those that are still close to a match.
  struct Interval {
    double least, most;
  };
  template <class F>
  void narrow(const F& interval) {
    int64_t kept = 0;
    for (int64_t i = 0; i < count_; ++i) {
      const Close close = close_[i];
      const Interval d = interval(close.entry);
      const double *const from = value_ + close.apart, *const to = value_ + close.behind;
      const double* const apart = std::lower_bound(from, to, d.least);
      const double* const behind = std::upper_bound(apart, to, d.most);
      put(close, behind - value_);
      close_[kept] = {close.entry, int32_t(apart - value_), int32_t(behind - value_)};
      kept += int64_t(apart < behind);
    }
    count_ = kept;
  }

  // On a grid products are exact, and so is what they say.
  void by_value(const RowOfTile<T>& row) {
    const double unit = all_.scale * all_.scale, own2 = all_.x_norm2[query_];
    for (int64_t i = 0; i < count_; ++i)
      put(close_[i], (double(row.values[close_[i].entry]) + own2) / unit);
    count_ = 0;
  }

  // The bound for the entry's own length, where some are far below the largest of the tile.
  void by_own_length(const RowOfTile<T>& row) {
    const RoundingBound& bound = row.bound;
    if (bound.off(row.smallest) > 0.5 * bound.off(row.largest)) return;
    const double unit = all_.scale * all_.scale, own2 = all_.x_norm2[query_];
    narrow([&](int32_t k) -> Interval {
      const double off = bound.off(all_.norm2[first_ + k]), v = double(row.values[k]) + own2;
      return {(v - off) / unit, (v + off) / unit};
    });
  }

  // Differences in float32: nine of ten are settled.
  void by_rough_distance() {
    if (!note_rows()) return;
    rough_distances(x(), rows(), wanted_, all_.dim, rough_.data());
    const double share = rough_terms(all_.dim) * std::ldexp(1.0, -24);
    const double tiny = double(all_.dim) * std::ldexp(1.0, -120);
    narrow([&](int32_t k) -> Interval {
      const double d = rough_[size_t(slot(k))];
      return {d - d * share - tiny, d + d * share + tiny};
    });
  }

  void by_distance() {
    if (!note_rows()) return;
    distances(x(), rows(), wanted_, all_.dim, exact_.data());
    for (int64_t i = 0; i < count_; ++i) put(close_[i], exact_[size_t(slot(close_[i].entry))]);
  }

  // The rows that are to be measured, equal ones once. False if they are too many.
  bool note_rows() {
    wanted_.clear();
    ++turn_;
    for (int64_t i = 0; i < count_; ++i) {
      const auto row = size_t(all_.first_equal[first_ + close_[i].entry]);
      if (noted_[row] == turn_) continue;
      noted_[row] = turn_;
      slot_[row] = int32_t(wanted_.size());
      wanted_.push_back(int32_t(row));
    }
    measured_ += int64_t(wanted_.size());
    if (most_ < 0 || measured_ <= most_) return true;
    count_ = 0;
    return false;
  }
  int32_t slot(int32_t k) const { return slot_[size_t(all_.first_equal[first_ + k])]; }
  const E* x() const { return all_.x + query_ * all_.dim; }
  const E* rows() const { return all_.gallery + first_ * all_.dim; }

  const Retrieval<T, E>& all_;
  const Matches all_matches_;
  int64_t query_ = 0, first_ = 0;
  Close* close_ = nullptr;
  int64_t count_ = 0, most_ = 0, measured_ = 0;
  int32_t* moved_ = nullptr;
  const double* value_ = nullptr;  // the query's matches
  const int32_t* column_ = nullptr;
  std::vector<float> rough_;   // distances from wanted_
  std::vector<double> exact_;  // likewise
  std::vector<int32_t> wanted_;
  std::vector<int32_t> slot_;   // where in wanted_ a row of the tile is,
  std::vector<int64_t> noted_;  // if it was noted this turn
  int64_t turn_ = 0;
};

}  // namespace drsl
