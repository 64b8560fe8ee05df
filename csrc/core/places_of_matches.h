#pragma once
// What the places of a query's matches say.
#include <cstdint>
#include <limits>

#include "core/host_device.h"

namespace drsl {

// Something that can be sorted, and that comes before what does not count: NaN and ∞ are what rows
// give that are not finite.
template <class T>
DRSL_HD T in_order(T v) {
  constexpr T most = std::numeric_limits<T>::max();
  return v < most ? v : most;
}

// NaN and 0 without a match.
struct Scores {
  double ap, inp;
  int64_t first;  // place of the first match
};

// before(i): the entries before match i of n that are no matches, ascending. Matches are before one
// another: the i-th is behind i of them.
template <class Before>
DRSL_HD Scores scores_by(const Before& before, int64_t n) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  if (n == 0) return {kNan, kNan, 0};
  const auto place = [&](int64_t i) { return int64_t(before(i)) + i + 1; };
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += double(i + 1) / double(place(i));
  return {sum / double(n), double(n) / double(place(n - 1)), place(0)};
}

}  // namespace drsl
