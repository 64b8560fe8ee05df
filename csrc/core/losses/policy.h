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
//   kRanks         sums of clipped steps, seen from each positive; many positives may be sorted
//   kSmoothRanks   the same for smooth steps, which are summed one by one
//   kEach          each entry by itself, or the hardest of them: no list of positives is needed
enum class Way { kRanks, kSmoothRanks, kEach };

// Entries whose cosines the loss is differentiated by.
enum class AngularAt { kNowhere, kPositives, kEverywhere };

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
