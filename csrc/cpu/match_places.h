#pragma once
// Evaluation of a retrieval: where in a query's list, ordered by distance, its matches stand.
//
// Only the places count, so nothing is sorted: each match needs the number of entries before it that
// are not matches. An inner product says roughly how far an entry is, v = |r|² − 2 x·r = d² − |x|²,
// and a bound says how roughly, so every entry is an interval [lower, upper] and every match is one
// too. Where two intervals lie apart the order is known. Where they touch both distances are taken
// from differences, in double, and equal distances go by column. So the result does not depend on
// how products round: it is that of the distances Σ (x − r)² in double.
//
// In between, where float32 products leave doubt, differences in float32 settle most of it first.
//
// The bound. u is half a unit in the last place of the products' type T, w that of double, X and R
// the lengths of the two operands, D their dimension, n the number of roundings a term of a product
// may see: the terms of the longest part that it comes in, and the number of parts. However it is
// added up, it is off by at most γ X R, γ = nu / (1 − nu). Rounding |r|², the subtraction and the
// operands themselves (if a centre was taken away) adds at most u (6 X R + 4 R² + 2 X²), norms and
// the distance from differences at most 2 w (D + 16) (X R + R² + X²), and the interval's own
// arithmetic less than the difference to
//     α X R + β R² + β X² + tiny,   α = (2 n + 16) u (1 + 2 n u) + 2 w (D + 16),
//                                   β = 8 u + 2 w (D + 16),
// where tiny is for products below the smallest normal number. On a grid (all numbers are multiples
// of one power of two, and no sum leaves the digits of T) nothing is rounded, and the bound is 0.
#include <cstdint>
#include <vector>

namespace drsl {

// What all queries share. T: type of the products; E: type of the features.
template <class T, class E>
struct Retrieval {
  int64_t queries, entries, dim;
  int64_t parts, longest;            // of the product, and terms of the longest
  const T* gram;                     // [parts, queries, entries] products of operands
  const E* x;                        // [queries, dim] as given
  const E* gallery;                  // [entries, dim] as given
  const double* x_norm2;             // [queries] squared lengths of operands
  const double* gallery_norm2;       // [entries] likewise; infinite: the entry is in no list
  const int32_t* first_equal;        // [entries] the first entry with the same features
  const int32_t* by_identity;        // [entries] columns, those of an identity side by side
  const int64_t *begin, *end;        // [queries] where those of the query's identity are
  const int64_t *x_camera, *camera;  // [queries], [entries], or null: no entry is junk
  double scale;                      // operands are scale · (features − a centre)
  bool on_grid;                      // products are exact
  int64_t limit;  // distances from differences that a query may take, −1: any number

  std::vector<T> norm2, length;  // |r|² and |r|, in whole chunks

  void prepare();
};

// ap, inp: of the query's matches, NaN without. first: the place of the first, 0 without, −1 if more
// than `limit` distances would be needed; then ap and inp are NaN.
struct Retrieved {
  double* ap;
  double* inp;
  int64_t* first;
};

// All queries; a query's result does not depend on the number of threads.
template <class T, class E>
void match_places(const Retrieval<T, E>& retrieval, const Retrieved& out);

// |x|² of rows [count, dim], in double. Not finite if the row is not (or it overflows).
template <class E>
void squared_lengths(const E* rows, int64_t count, int64_t dim, double* out);

}  // namespace drsl
