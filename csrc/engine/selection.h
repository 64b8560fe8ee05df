#pragma once
// Which gallery entries a query compares with: all but its own copy and the excluded ones;
// positives carry its label. Shared by all sets of a problem.
#include <cstdint>
#include <vector>

#include "engine/groups.h"

namespace drsl {

struct Selection {
  Groups groups;
  std::vector<int64_t> self;  // [B] the column that is the query itself, −1 for none
  const uint8_t* exclude;     // [B, G] or null
  int64_t columns;            // G

  bool left(int64_t q, int64_t k) const {
    return k != self[size_t(q)] && !(exclude && exclude[q * columns + k]);
  }

  // Columns of the positives, ascending, to `out`; how many.
  int positives(int64_t q, int32_t* out) const {
    int n = 0;
    for (const int32_t* k = groups.begin(q); k != groups.end(q); ++k)
      if (left(q, *k)) out[n++] = *k;
    return n;
  }

  bool counts(int64_t q) const {
    for (const int32_t* k = groups.begin(q); k != groups.end(q); ++k)
      if (left(q, *k)) return true;
    return false;
  }
};

}  // namespace drsl
