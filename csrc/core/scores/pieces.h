#pragma once
// Sums of steps, piece by piece (edges.h): O(pieces) for all positives at once, and the transpose.
//
// Both sweeps carry only what is on a ramp right now, measured from where the sweep stands, and
// forget it when nothing is: their rounding is relative to the width of a ramp, not to the range of
// the scores.
#include <algorithm>
#include <cstdint>

#include "core/host_device.h"
#include "core/scores/edges.h"

namespace drsl {

// The entries of a piece: Σ a_j and Σ a_j (v_j − where the piece starts).
struct Piece {
  double amount = 0;
  double moment = 0;
};

// What an entry with score v in a piece is charged with: base + slope (v − where the piece starts).
struct Line {
  double base = 0;
  double slope = 0;
};

// sum[i] = Σ_j a_j H(v_j − s_i), from the highest positive down: few entries come before the first.
template <class T>
void sum_pieces(const Edges<T>& edges, int n, const double* s, double slope, const Piece* pieces,
                double* sum) {
  double above = 0;     // Σ a_j beyond the ramp
  double on_ramp = 0;   // Σ a_j on the ramp, pieces low ≤ m < high
  double distance = 0;  // Σ a_j (v_j − here) of these
  double here = 0;
  int low = edges.count + 1, high = low;
  const auto from_here = [&](int m) {
    return pieces[m].moment + pieces[m].amount * (edges.origin(m) - here);
  };
  for (int i = n - 1; i >= 0; --i) {
    const int start = edges.start[size_t(i)], full = edges.full[size_t(i)];
    for (int m = high - 1; m >= std::max(full, low); --m) {
      above += pieces[m].amount;
      on_ramp -= pieces[m].amount;
      distance -= from_here(m);
    }
    if (full <= low) {
      for (int m = low - 1; m >= full; --m) above += pieces[m].amount;
      low = full;
      on_ramp = distance = 0;
    } else {
      distance += on_ramp * (here - s[i]);
    }
    high = full;
    here = s[i];
    for (int m = low - 1; m >= start; --m) {
      on_ramp += pieces[m].amount;
      distance += from_here(m);
    }
    low = std::min(low, start);
    sum[i] = above + 0.5 * on_ramp + slope * distance;
  }
}

// lines[m] = Σ_i w_i H(v − s_i) as a function of v in piece m, for pieces 0..count.
template <class T>
void spread_pieces(const Edges<T>& edges, const double* s, double slope, const double* weight,
                   Line* lines) {
  double below = 0;     // Σ w_i of ramps that have ended
  double on_ramp = 0;   // Σ w_i of those that have begun and not ended, `ramps` of them
  double distance = 0;  // Σ w_i (here − s_i) of these
  int ramps = 0;
  lines[0] = {};
  for (int m = 1; m <= edges.count; ++m) {
    const double here = edges.origin(m);
    if (ramps) distance += on_ramp * (here - edges.origin(m - 1));
    const int owner = edges.owner[size_t(m) - 1], i = owner < 0 ? ~owner : owner;
    const double w = weight[i];
    if (owner >= 0) {
      ++ramps;
      on_ramp += w;
      distance += w * (here - s[i]);
    } else {
      below += w;
      if (ramps) {  // none: δ = 0
        --ramps;
        on_ramp -= w;
        distance -= w * (here - s[i]);
      }
    }
    if (!ramps) on_ramp = distance = 0;
    lines[m] = {below + 0.5 * on_ramp + slope * distance, slope * on_ramp};
  }
}

}  // namespace drsl
