#pragma once
// The rows of one side (queries or gallery) as the engine wants them.
//
//   exact     the rows in the accumulation type, as given: differences of near pairs are taken from
//             these
//   operand   the rows that enter products: unit length if normalising, minus a common centre where
//             the rows share one, zero where a row holds NaN or infinity (0 · NaN must not leak out
//             of a product)
//
// Both are divided by `unit`, a power of two: 1, unless squares of the numbers given would overflow
// or vanish.
//
// A centre leaves differences as they are, so distances and gradients do not notice, but Gram
// entries stop cancelling where all rows point the same way, as features after a ReLU do. Cosines
// get it back by `shift`.
#include <cstdint>
#include <vector>

#include "cpu/memory.h"

namespace drsl {

template <class T>
struct Rows {
  int64_t count = 0, dim = 0;
  const T* exact = nullptr;    // [count, dim], in units
  const T* operand = nullptr;  // [count, dim]

  double unit = 1;               // the same for both sides
  std::vector<double> norm;      // |x| of the exact rows
  std::vector<double> inv_norm;  // 1 / |x|, or 0 where the row, as given, counts as zero
  std::vector<T> inv_cos;        // what an operand's product is multiplied by to give a cosine
  std::vector<T> norm2;          // |operand|², +∞ where products with the row cannot be trusted
  std::vector<T> shift;          // operand·m + |m|²/2 for centre m: x·r = x'·r' + shift_x + shift_r
  std::vector<uint8_t> bad;      // holds NaN or infinity
  bool any_bad = false;

  std::vector<int32_t> representative;  // first row with the same bits
  std::vector<int32_t> duplicates;      // rows that are not their own representative

  const T* exact_row(int64_t i) const { return exact + i * dim; }
  const T* operand_row(int64_t i) const { return operand + i * dim; }

  Buffer<T> exact_store, operand_store;
};

// Packs the queries and, where `gallery` is given, the gallery. Input is contiguous
// [count, dim] of In.
template <class T, class In>
void pack(const In* x, int64_t count, int64_t dim, bool normalize, Rows<T>& rows, const In* gallery,
          int64_t gallery_count, Rows<T>& gallery_rows);

}  // namespace drsl
