#pragma once
// Evaluation of a retrieval from whole rows of products in double precision: for queries that have
// too many matches to measure, or too many near ties for a product in float32 (match_tiles.h).
//
// Entries and matches alike are intervals, a product and its bound. Where two intervals lie apart
// the order is known. Where they touch both distances are taken from differences, and equal ones
// go by column.
#include <cstdint>

#include "cpu/matches.h"

namespace drsl {

// E: type of the features.
template <class E>
struct WholeRows {
  int64_t queries, entries, dim;
  const double* gram;             // [queries, entries] products of features, less a centre
  const E* x;                     // [queries, dim] as given
  const E* gallery;               // [entries, dim] as given
  const double *x_norm2, *norm2;  // [queries], [entries] squared lengths of operands
  const int32_t* first_equal;     // [entries] an entry with the same features
  Identities identities;
  bool on_grid;  // products are exact
};

// Of each query, into out[queries]; it does not depend on the number of threads.
template <class E>
void match_rows(const WholeRows<E>& rows, Scores* out);

}  // namespace drsl
