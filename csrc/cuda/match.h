#pragma once
// The stages of an evaluation on a GPU: plain pointers in, kernels on a stream out. Nothing waits, and
// nothing allocates. Kernels, and what tasks are made of: match_*.cuh.
#include "cuda/match_task.cuh"

namespace drsl::cuda {

// Columns [first, first + width) of the gallery; sums of digits [queries, width].
struct Tile {
  int32_t* upper;                 // aa', where counting hides what is not counted
  const int32_t *middle, *lower;  // ab' + ba', ac' + bb' + ca'
  int64_t first, width;           // width: a multiple of 4
};

struct ScoresOut {
  double *ap, *inp;  // [queries]
  int64_t* first;    // −1: given up, for too many matches or too many listed entries
};

template <class E>
void write_digits(const DigitsTask<E>&, cudaStream_t);
template <class E>
void find_matches(const MatchTask&, const Features<E>&, cudaStream_t);
void count(const MatchTask&, const Tile&, cudaStream_t);
template <class E>
void settle_listed(const MatchTask&, const Features<E>&, const ScoresOut&, cudaStream_t);

// d² of all pairs, [queries, entries].
template <class E>
void measure_all(const Features<E>&, double* out, cudaStream_t);
// |x|² of rows [count, dim].
template <class E>
void squared_lengths(const E* rows, int64_t count, int64_t dim, bool aligned, double* out,
                     cudaStream_t);

}  // namespace drsl::cuda
