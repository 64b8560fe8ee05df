#pragma once
// Evaluation on a GPU: what its kernels share. Queries of a block, their matches, what is counted.
//
//   matches_of     a query's matches, measured and in order, and thresholds for what is counted
//   count_tile     sums of digits → entries before each match; those that may be before or behind: listed
//   settle         listed entries by their distances; what the places say
#include "cuda/match_digits.cuh"
#include "cuda/match_distance.cuh"

namespace drsl::cuda {

constexpr int kMatchThreads = 256, kMatchWarps = kMatchThreads / 32;
constexpr int kMatchBuckets = 1024;
constexpr int kMostMatches = 2048;  // of a query: what two thresholds' tables hold in shared memory

// Who may match whom; columns are looked at before they are used.
struct Who {
  const int32_t* by_identity;        // columns, those of an identity side by side and ascending
  const int64_t *begin, *end;        // [queries] where those of the query's identity are
  const int64_t *x_camera, *camera;  // or null
  int64_t entries;

  __device__ __forceinline__ int64_t first(int64_t q) const { return begin[q]; }
  // 0 if it would be beyond the list
  __device__ __forceinline__ int64_t count(int64_t q) const {
    const bool fits = begin[q] >= 0 && end[q] <= entries;
    return fits && begin[q] < end[q] ? end[q] - begin[q] : 0;
  }
  __device__ __forceinline__ bool inside(int32_t k) const { return k >= 0 && k < entries; }
  __device__ __forceinline__ bool junk(int64_t q, int32_t k) const {
    return camera && camera[k] == x_camera[q];
  }
};

// What an entry's v = |r|² − 2 x·r is compared with.
struct Thresholds {
  int matches;  // −1: too many, the query is given up
  float off;    // v is off by no more, whatever the entry
  float last;   // beyond it an entry is behind all matches
  float base, inverse;
  float step;  // 2^16 t of the query

  __device__ __forceinline__ int bucket(float v) const {
    return int(min(max((v - base) * inverse, 0.0f), float(kMatchBuckets - 1)));
  }
};

// A bucket of values: the first match that is not before all of it, and how many reach into it.
struct Reach {
  unsigned word;
  __device__ __forceinline__ static Reach of(int first, int count) {
    return {unsigned(first) | unsigned(count) << 16};
  }
  __device__ __forceinline__ int first() const { return int(word & 0xffffu); }
  __device__ __forceinline__ int count() const { return int(word >> 16); }
};

struct MatchTask {
  int64_t queries, entries, dim;
  Who who;
  double scale;
  const FixedRow *x, *r;  // [queries], [entries]
  const FixedRow* most;   // the largest of each number of entries
  const float2* columns;  // |r|², ∞ for what is in no list, and −2 t

  int slots, limit;  // matches and listed entries that a query may have
  double* value;     // [queries, slots] d², ascending, equal ones by column
  int32_t* column;   // [queries, slots]
  float* middle;     // [queries, slots] d² − |x|²
  unsigned* before;  // [queries, slots] entries before match i, but not before the one in front
  Thresholds* threshold;  // [queries]
  Reach* reach;           // [queries, kMatchBuckets]
  unsigned* listed;       // [queries] how many, which may be more than
  int32_t* list;          // [queries, limit] columns
};

// The first of [from, to) for which it is not so: true ones come first.
template <class F>
__device__ __forceinline__ int first_not(int from, int to, F so) {
  while (from < to) {
    const int half = from + (to - from) / 2;
    if (so(half))
      from = half + 1;
    else
      to = half;
  }
  return from;
}

}  // namespace drsl::cuda
