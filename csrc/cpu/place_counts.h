#pragma once
// One pass over a row of intervals: how many lie before each of a query's matches, and which of them
// touch one.
#include <cstdint>
#include <vector>

namespace drsl {

// Columns are handled kChunk at a time; rows are padded to whole chunks.
constexpr int64_t kPlaceChunk = 64;
// Up to so many matches are compared with every entry, one after the other; more are searched.
constexpr int64_t kFewMatches = 48;

template <class T>
struct PlaceCounts {
  // the row
  int64_t padded;          // entries in whole chunks
  const T *lower, *upper;  // +∞ for what does not count
  // the matches, by place; both padded with +∞ to a power of two above their number
  int64_t matches;
  const T *match_lower, *match_upper;  // both in ascending order
  // what comes out
  int64_t* before;              // [matches] entries with upper < match_lower
  std::vector<int32_t>* close;  // columns that touch a match, ascending
  // workspace
  int64_t* histogram;  // as long as match_lower
};

void count_places(const PlaceCounts<float>& row);
void count_places(const PlaceCounts<double>& row);

// v = |r|² − 2 Σ gram as intervals: lower and upper, v itself if slack and share are 0.
template <class T>
struct Intervals {
  int64_t entries, padded;
  const T* gram;
  int64_t parts, apart;  // rows of products to be added up, and how far apart they are
  const T *norm2, *length;
  T slack, share;  // v ± (slack · |r| + share · |r|²)
  T *lower, *upper;
};

void intervals(const Intervals<float>& row);
void intervals(const Intervals<double>& row);

}  // namespace drsl
