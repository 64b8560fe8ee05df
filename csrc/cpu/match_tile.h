#pragma once
// A thread's way through a tile of the evaluation (match_tiles.h): products, counts, and what they
// do not decide.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "cpu/close_entries.h"
#include "cpu/close_list.h"
#include "cpu/match_tiles.h"
#include "cpu/product.h"
#include "cpu/rounding_bound.h"
#include "cpu/tile_counts.h"

namespace drsl {

inline size_t whole_chunks(int64_t entries) {
  return size_t((entries + kTileChunk - 1) / kTileChunk * kTileChunk);
}

template <class I>
void add_relaxed(I& to, I value) {
  if (value) std::atomic_ref(to).fetch_add(value, std::memory_order_relaxed);
}

// What is known of all queries.
struct MatchCounts {
  std::vector<int32_t> before;    // for each match the entries before it that are none
  std::vector<int64_t> measured;  // [queries] distances from differences
};

// Bytes of rows that are read again and again: half of a second-level cache.
constexpr int64_t kCachedBytes = 3 << 18;

// One thread's workspace, and a tile's way through it.
template <class T, class E>
class TileOfThread {
 public:
  // most: matches of a query. Nothing is allocated later, while threads run.
  TileOfThread(const Retrieval<T, E>& all, const Matches& matches, int64_t most,
               MatchCounts& counts)
      : all_(all),
        matches_(matches),
        counts_(counts),
        gram_(size_t(all.parts * all.height * all.width)),
        norm2_(whole_chunks(all.width)),
        values_(whole_chunks(all.width)),
        found_(whole_chunks(all.width)),
        first_bucket_(size_t(most)),
        last_bucket_(size_t(most)),
        low_(size_t(most)),
        high_(size_t(most)),
        before_(size_t(all.height * most)),
        moved_(size_t(all.height * (most + 1))),
        list_(all.height, int64_t(whole_chunks(all.width))),
        closes_(all, matches) {}

  void run(int64_t from, int64_t to, int64_t first) {
    bool any = false;
    for (int64_t q = from; q < to; ++q) any = any || wanted(q);
    if (!any) return;
    if (from != from_) begin(from, to);
    first_ = first;
    entries_ = std::min(all_.width, all_.entries - first);
    set_lengths();
    apart_ = (to - from) * entries_;
    multiply(from, to);
    for (int64_t q = from; q < to; ++q) {
      if (wanted(q)) count(q, gram_.data() + (q - from) * entries_);
      if (list_.is_full()) settle();
    }
    settle();
  }

  // Hands over what was counted for the queries of the last tiles.
  void end() {
    for (int64_t q = from_; q < to_; ++q) {
      const int64_t offset = matches_.offset[q], n = matches_.offset[q + 1] - offset;
      int32_t sum = 0;
      for (int64_t p = 0; p < n; ++p)
        add_relaxed(counts_.before[size_t(offset + p)], before(q)[p] + (sum += moved(q)[p]));
    }
  }

 private:
  // Tiles of other queries than the last.
  void begin(int64_t from, int64_t to) {
    end();
    from_ = from;
    to_ = to;
    std::fill(before_.begin(), before_.end(), 0);
    std::fill(moved_.begin(), moved_.end(), 0);
  }

  // Has matches, and has not been given up.
  bool wanted(int64_t q) const {
    const int64_t measured =
        std::atomic_ref(counts_.measured[size_t(q)]).load(std::memory_order_relaxed);
    return matches_.offset[q] < matches_.offset[q + 1] &&
           (all_.limit < 0 || measured <= all_.limit);
  }

  void set_lengths() {
    smallest_ = std::numeric_limits<double>::infinity();
    largest_ = 0;
    for (int64_t k = 0; k < entries_; ++k) {
      const double norm2 = all_.norm2[first_ + k];
      norm2_[size_t(k)] = T(norm2);
      if (!std::isfinite(norm2)) continue;
      smallest_ = std::min(smallest_, norm2);
      largest_ = std::max(largest_, norm2);
    }
  }

  // [parts, queries, entries]
  void multiply(int64_t from, int64_t to) {
    const int64_t D = all_.dim;
    for (int64_t part = 0; part < all_.parts; ++part) {
      const int64_t k = part * all_.part(), terms = std::min(all_.part(), D - k);
      const Matrix<T> x{all_.x_operand + from * D + k, D, 1},
          r{all_.operand + first_ * D + k, D, 1};
      product(x, r.transposed(), to - from, entries_, terms, gram_.data() + part * apart_, entries_,
              Into::kOverwrite);
    }
  }

  void count(int64_t q, T* gram) {
    const int64_t offset = matches_.offset[q], n = matches_.offset[q + 1] - offset;
    const auto bound =
        RoundingBound::of<T>(all_.x_norm2[q], all_.dim, all_.parts + all_.part(), all_.on_grid);
    hide_own(q, gram);
    set_thresholds(q, n, matches_.value + offset, bound);
    const auto whole = int64_t(whole_chunks(entries_));
    write_values(
        TileValues<T>{entries_, whole, gram, all_.parts, apart_, norm2_.data(), values_.data()});
    int64_t close = count_before(
        TileCounts<T>{whole, values_.data(), n, low_.data(), high_.data(), before(q), list_.room(),
                      found_.data(), first_bucket_.data(), last_bucket_.data(), &buckets_});
    if (close)
      close = closes_.sift({q, first_, values_.data(), bound, smallest_, largest_}, list_.room(),
                           close, moved(q));
    list_.add(q, close);
  }

  // What is in the list.
  void settle() {
    list_.by_rows(kCachedBytes / int64_t(sizeof(E)) / all_.dim,
                  [&](int64_t q, Close* close, int64_t count) {
                    if (wanted(q))
                      add_relaxed(counts_.measured[size_t(q)],
                                  closes_.settle(q, first_, close, count, all_.limit, moved(q)));
                  });
    list_.clear();
  }

  // Of query q: for each match the entries before it, and for each and one more how close entries
  // move it and all that follow.
  int32_t* before(int64_t q) {
    return before_.data() + (matches_.offset[q] - matches_.offset[from_]);
  }
  int32_t* moved(int64_t q) {
    return moved_.data() + (matches_.offset[q] - matches_.offset[from_]) + (q - from_);
  }

  // Entries of the query's own identity are matches, or in no list: as far away as can be.
  void hide_own(int64_t q, T* gram) const {
    const Identities& who = all_.identities;
    const int32_t *own = who.by_identity + who.begin[q], *const end =
                                                             who.by_identity +
                                                             std::max(who.begin[q], who.end[q]);
    for (own = std::lower_bound(own, end, first_); own < end; ++own) {
      const int64_t k = *own - first_;
      if (k < 0 || k >= entries_) break;
      gram[k] = -std::numeric_limits<T>::infinity();
    }
  }

  // What is below low or above high is so for certain, as no length is above the largest.
  void set_thresholds(int64_t q, int64_t n, const double* value, const RoundingBound& bound) {
    constexpr double kRounding = 2 * std::numeric_limits<T>::epsilon();
    const double unit = all_.scale * all_.scale, own2 = all_.x_norm2[q];
    const double off = bound.off(largest_), share = all_.on_grid ? 0 : kRounding;
    for (int64_t p = 0; p < n; ++p) {
      const double v = unit * value[p] - own2, reach = off + share * std::abs(v);
      const auto i = size_t(p);
      low_[i] = in_order(T(v - reach));
      high_[i] = in_order(T(v + reach));
    }
  }

  const Retrieval<T, E>& all_;
  const Matches matches_;
  MatchCounts& counts_;
  int64_t from_ = -1, to_ = -1, first_ = 0, entries_ = 0, apart_ = 0;
  double smallest_ = 0, largest_ = 0;  // |r|² of entries that are in a list
  std::vector<T> gram_, norm2_, values_;
  std::vector<int32_t> found_, first_bucket_, last_bucket_;
  std::vector<T> low_, high_;
  std::vector<int32_t> before_, moved_;  // a thread's share, until it comes to other queries
  Buckets buckets_;
  CloseList list_;
  CloseEntries<T, E> closes_;
};

}  // namespace drsl
