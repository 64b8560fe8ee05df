#pragma once
// One pass over a whole row of intervals: how many lie before each of a query's matches, and which of
// them touch one. For any number of matches, which are intervals themselves.
#include <cstdint>
#include <vector>

namespace drsl {

constexpr int64_t kRowChunk = 64;  // rows are padded to whole chunks

// v = |r|² − 2 gram as intervals v ± (slack · |r| + share · |r|²).
struct RowIntervals {
  int64_t entries, padded;
  const double *gram, *norm2, *length;  // norm2: +∞ for what does not count
  double slack, share;
  double *lower, *upper;  // [padded], +∞ for what does not count
};

void write_intervals(const RowIntervals& row);

struct RowCounts {
  // the row
  int64_t padded;
  const double *lower, *upper;
  // the matches, by place; both padded with +∞ to a power of two above their number
  int64_t matches;
  const double *match_lower, *match_upper;  // both in ascending order
  // what comes out
  int64_t* before;              // [matches] entries with upper < match_lower
  std::vector<int32_t>* close;  // columns that touch a match, ascending
  // workspace
  int64_t* histogram;  // as long as match_lower
};

void count_before(const RowCounts& row);

}  // namespace drsl
