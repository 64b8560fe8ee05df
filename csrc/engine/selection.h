#pragma once
// Which gallery entries a query compares with: all but its own copy and the excluded ones;
// positives carry its label. Shared by all sets of a problem.
#include <cstdint>
#include <vector>

#include "engine/groups.h"

namespace drsl {

struct Selection {
  Groups groups;
  std::vector<int64_t> self;     // [B] the column that is the query itself, −1 for none
  const uint8_t* exclude;        // [B, G] or null
  int64_t columns;               // G
  bool own_is_positive = false;  // the own copy is not left out, whatever its label

  bool excluded(int64_t q, int64_t k) const { return exclude && exclude[q * columns + k]; }
  bool left(int64_t q, int64_t k) const {
    return (own_is_positive || k != self[size_t(q)]) && !excluded(q, k);
  }

  // Columns of the positives to `out`, ascending, the own copy last; how many.
  int positives(int64_t q, int32_t* out) const {
    int n = 0;
    for_each_other(q, [&](int32_t k) { out[n++] = k; });
    const int64_t own = self[size_t(q)];
    if (own_is_positive && own >= 0 && !excluded(q, own)) out[n++] = int32_t(own);
    return n;
  }
  int64_t most_positives() const { return groups.largest() + own_is_positive; }

  // How many entries are left, the own copy not counted: positives, and others.
  struct Counts {
    int64_t positives, others;
  };
  Counts count(int64_t q) const {
    int64_t positives = 0, left = columns - (self[size_t(q)] >= 0);
    for_each_other(q, [&](int32_t) { ++positives; });
    if (exclude) {
      left = 0;
      for (int64_t k = 0; k < columns; ++k) left += !exclude[q * columns + k];
      if (self[size_t(q)] >= 0) left -= !excluded(q, self[size_t(q)]);
    }
    return {positives, left - positives};
  }

 private:
  // f(column) of each positive but the own copy.
  template <class F>
  void for_each_other(int64_t q, F f) const {
    for (const int32_t* k = groups.begin(q); k != groups.end(q); ++k)
      if (*k != self[size_t(q)] && !excluded(q, *k)) f(*k);
  }
};

}  // namespace drsl
