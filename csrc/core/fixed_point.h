#pragma once
// Rows as whole numbers of three digits, and how far a product of such rows may be off.
//
//     x = t (2^16 a + 2^8 b + c) + rest,   digits a, b, c in -128 .. 127, t a float
//
// Digits multiply without rounding, in 8 bit tensor products that are summed in 32 bits. Of the nine
// products of two rows' digits six are formed, in three sums:
//
//     x·r ≈ t t' 2^16 (2^16 aa' + 2^8 (ab' + ba') + (ac' + bb' + ca'))
//
// What is left out is bounded by the lengths of its parts, which are measured, not estimated.
#include <cstdint>

#include "core/host_device.h"

namespace drsl {

constexpr int kDigits = 3;
constexpr int32_t kLargestFixed = 127 * 65536 + 127 * 256 + 127;
// Digits of a row are padded to so many: what tensor products want.
constexpr int64_t kDigitsLine = 16;
// Terms of the longest sum, 3 D products below 2^14, stay below 2^31.
constexpr int64_t kMostDigits = 43680;

struct Digits {
  int32_t a, b, c;
};

// Of |v| <= kLargestFixed: v = 2^16 a + 2^8 b + c.
DRSL_HD Digits digits_of(int32_t v) {
  const int32_t c = int8_t(v & 255), upper = (v - c) / 256;
  const int32_t b = int8_t(upper & 255);
  return {(upper - b) / 256, b, c};
}

// Lengths of a row and of its parts: |x|, |rest|, |2^8 t b|, |t c|.
struct RowLengths {
  double whole, rest, middle, last;

  // No less than what |2^16 t a|, |2^8 t b| and |t c| add up to.
  DRSL_HD double reach() const { return whole + rest + 2 * (middle + last); }
};

// How far v = |r|² − 2 x·r, formed in float32 from sums of digits, may be off, thresholds that it is
// compared with included. With u = 2^-24, w = 2^-53, X and R the rows' reaches:
//
//   2 (|x||rest'| + |rest| (|r| + |rest'|) + |b||c'| + |c||b'| + |c||c'|)    what is left out
//   14 u X R      sums → floats, added up: 3 roundings; times t, and t': 2; twice that, being 2 x·r;
//                 then the difference, and d² − |x|² of a match, widened by the bound: 2 X R each
//   4 u R²        |r|² and these three, which are about as large as |r|² + 2 X R where it matters
//   2 w (D + 16) (X R + R² + X²)    norms, a centre taken away, the distance that decides
//
// and a fiftieth for products of all these. Rows are in a unit in which the longest are about 1: what
// float32 has no digits for is below 2^-100.
DRSL_HD double fixed_bound(const RowLengths& x, const RowLengths& r, int64_t dim) {
  constexpr double u = 0x1p-24, w = 0x1p-53;
  const double out = x.whole * r.rest + x.rest * (r.whole + r.rest) + x.middle * r.last +
                     x.last * r.middle + x.last * r.last;
  const double X = x.reach(), R = r.reach();
  return 1.02 * (2 * out + 16 * u * X * R + 5 * u * R * R +
                 2 * w * double(dim + 16) * (X * R + R * R + X * X)) +
         0x1p-100;
}

}  // namespace drsl
