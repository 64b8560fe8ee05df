#pragma once
// Evaluation of a retrieval, a tile of products at a time: where in a query's list, ordered by
// distance, its matches stand.
//
// Only their places count, so nothing is sorted: a match needs the number of entries before it that
// are not matches. Its own distance is measured first (matches.h). A product says roughly how far an
// entry is, and a bound how roughly (rounding_bound.h): most are before it or behind it beyond doubt.
// For those that are not the distance is taken from differences, in double, and equal ones go by
// column (close_entries.h). So the result does not depend on how products round: it is that of the distances
// Σ (x − r)² in double.
//
// A tile is some queries × some entries. Each thread forms the products of a tile of its own, small
// enough that they and the rows that they are of are still in the cache when they are counted. Counts
// are whole numbers, so it does not matter who adds what first.
#include <cstdint>

#include "cpu/matches.h"

namespace drsl {

// T: type of the products; E: type of the features.
template <class T, class E>
struct Retrieval {
  int64_t queries, entries, dim;
  const T *x_operand, *operand;   // [queries, dim], [entries, dim] what is multiplied:
  double scale;                   // scale · (features − a centre)
  bool on_grid;                   // products are exact
  const E *x, *gallery;           // features as given
  const double *x_norm2, *norm2;  // squared lengths of operands; norm2 infinite: in no list
  const int32_t* first_equal;  // [entries] the first of its tile with the same features, as a place
                               // within the tile
  Identities identities;
  int64_t parts;  // that a product is formed in: the fewer terms are added, the less it is off
  int64_t height, width;  // of a tile, at most
  int64_t limit;          // distances from differences that a query may take, −1: any number

  int64_t part() const { return (dim + parts - 1) / parts; }  // terms of the longest
};

// Of each query, into out[queries]. first = −1: more distances than the limit would be needed, and
// nothing is known. It does not depend on the number of threads.
template <class T, class E>
void match_tiles(Retrieval<T, E> all, Scores* out);

}  // namespace drsl
