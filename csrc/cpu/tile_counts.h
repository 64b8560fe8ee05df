#pragma once
// One pass over a query's row of a tile: how many entries are certainly before each of its matches,
// and which may be before or behind one. Numbers only.
#include <cstdint>
#include <vector>

namespace drsl {

// Columns are handled so many at a time; rows are padded to whole chunks.
constexpr int64_t kTileChunk = 64;
// Up to so many matches are compared with every entry, one after the other; more through buckets.
constexpr int64_t kFewMatches = 12;

// v = |r|² − 2 Σ gram
template <class T>
struct TileValues {
  int64_t entries, padded;
  const T* gram;
  int64_t parts, apart;  // rows of products to be added up, and how far apart they are
  const T* norm2;        // +∞ for what does not count
  T* values;             // [padded]
};

void write_values(const TileValues<float>& row);
void write_values(const TileValues<double>& row);

// What lies between the first match and the last falls into buckets of equal width. Those that hold
// a bit of a match's interval are flagged: what falls there is looked at again.
struct Buckets {
  static constexpr int kCount = 1024;
  static constexpr int kLanes = 16;            // places for what is behind all: increments of one
  uint32_t count[1 + kCount + kLanes];         // number would wait for each other
  int32_t begin[1 + kCount], end[1 + kCount];  // the matches whose intervals reach into it
};

// An entry that may be before or behind some matches: those from `apart` to `behind`. It is behind
// the ones before them and before the ones after.
struct Close {
  int32_t entry, apart, behind;
};

template <class T>
struct TileCounts {
  int64_t padded;
  const T* values;  // +∞ for what does not count
  // An entry below low[i] is before match i, one above high[i] is behind it.
  int64_t matches;
  const T *low, *high;  // both ascending, low <= high
  int32_t* before;      // [matches] + entries below low[i], those that are close to others too
  Close* close;         // entries that are neither for some match, ascending; room for [padded]
  // workspaces
  int32_t* found;         // [padded]
  int32_t *first, *last;  // [matches] buckets of a match's interval
  Buckets* buckets;
};

// The number of close entries.
int64_t count_before(const TileCounts<float>& row);
int64_t count_before(const TileCounts<double>& row);

}  // namespace drsl
