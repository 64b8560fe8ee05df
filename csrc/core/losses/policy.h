#pragma once
// What engines want to know of a policy before they run it.
#include <cstdint>

#include "core/host_device.h"

namespace drsl {

// What a row's entries are compared by. Rows are written for distances, ≥ 0 and small where near: a
// loss that compares cosines is handed 1 − cos in their place.
enum class Measure { kDistance, kCosine };

// How a policy goes about a row.
//
//   kRanks   sums over negatives, seen from each positive
//   kPairs   each entry by itself, or the hardest of them: no list of positives is needed
enum class Way { kRanks, kPairs };

// A query weighs 1 in the mean if it has a positive.
struct CountsQueries {
  static DRSL_HD int64_t weight(int64_t positives, int64_t) { return positives > 0; }
};

// A pair's part of the loss, and its derivative by the distance.
template <class V>
struct Slope {
  V value, slope;
};

}  // namespace drsl
