#pragma once
// A query's matches: who they are, how far away, and what their places say.
#include <cstdint>

#include "core/places_of_matches.h"

namespace drsl {

// Who may match whom.
struct Identities {
  const int32_t* by_identity;        // columns, those of an identity side by side and ascending
  const int64_t *begin, *end;        // [queries] where those of the query's identity are
  const int64_t *x_camera, *camera;  // [queries], [entries], or null: no entry is junk
  const double* norm2;               // [entries] infinite: the entry is in no list

  bool listed(int32_t k) const { return norm2[k] < __builtin_inf(); }
  bool junk(int64_t q, int32_t k) const { return camera && camera[k] == x_camera[q]; }
};

// An entry, as a list is ordered.
struct Place {
  double value;  // d²
  int32_t column;

  bool operator<(const Place& other) const {
    return value != other.value ? value < other.value : column < other.column;
  }
};

// offset [queries + 1]: the matches of query q are those from offset[q] to offset[q + 1].
void count_matches(const Identities& identities, int64_t queries, int64_t* offset);

// Their columns and d² = Σ (x − r)² in double, as their list has them. x [queries, dim], gallery
// [entries, dim].
template <class E>
void measure_matches(const Identities& identities, const E* x, const E* gallery, int64_t queries,
                     int64_t dim, const int64_t* offset, int32_t* column, double* value);

// before: for each of n matches the entries before it that are none, ascending.
template <class I>
Scores scores_of(const I* before, int64_t n) {
  return scores_by([=](int64_t i) { return int64_t(before[i]); }, n);
}

}  // namespace drsl
