#pragma once
// Where the steps around n sorted scores begin and end.
//
// Seen from a positive with score s, an entry with score v counts
//
//   H(v − s) = 0 below s − δ,   ½ + (v − s)/2δ on the ramp,   1 from s + δ on          (δ = 0: 1
//   from s on)
//
// so Σ_i w_i H(v − s_i) is a straight line in v between any two neighbouring *edges*, which are the
// 2n numbers s ± δ (δ = 0: the n numbers s). All that an entry need know is its *piece*: how many
// edges lie at or below it. Piece m > 0 starts at edge m − 1; in piece 0 no step has begun.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "core/scores/ramp.h"

namespace drsl {

// Edges are formed in double and rounded up to T: that moves none past an entry, whose score is a
// T. Everything that is indexed by a positive goes by score, ascending.
template <class T>
struct Edges {
  int count = 0;
  std::vector<T> at;           // [count], ascending
  std::vector<int32_t> owner;  // [count]: i where the ramp of positive i begins, ~i where it ends
  std::vector<int32_t> start;  // [n]: first piece on the ramp of i
  std::vector<int32_t> full;   // [n]: first piece above it
  std::vector<int32_t> home;   // [n]: the piece that holds the score of i

  void assign(int n, const double* s, double delta) {
    const bool hard = delta == 0;
    count = hard ? n : 2 * n;
    for (std::vector<int32_t>* v : {&start, &full, &home}) v->resize(size_t(n));
    at.resize(size_t(count));
    owner.resize(size_t(count));
    int begun = hard ? n : 0, ended = 0;
    for (int e = 0; e < count; ++e) {
      const bool begins = begun < n && s[begun] - delta <= end_of_ramp(s[ended], delta);
      const int i = begins ? begun++ : ended++;
      owner[size_t(e)] = begins ? i : ~i;
      (begins ? start : full)[size_t(i)] = e + 1;
      at[size_t(e)] = round_up(begins ? s[i] - delta : end_of_ramp(s[i], delta));
    }
    if (hard) start = full;
    for (int i = 0, e = 0; i < n; ++i) {
      while (e < count && double(at[size_t(e)]) <= s[i]) ++e;
      home[size_t(i)] = e;
    }
  }

  double origin(int piece) const { return double(at[size_t(piece) - 1]); }

 private:
  // the smallest finite T that is not below x
  static T round_up(double x) {
    constexpr T most = std::numeric_limits<T>::max();
    if (!(x > -double(most))) return -most;
    if (!(x < double(most))) return most;
    const T y = T(x);
    return double(y) < x ? std::nextafter(y, most) : y;
  }
};

}  // namespace drsl
