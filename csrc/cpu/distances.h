#pragma once
// Σ (x − r)² of a row x and some rows r of many, from differences: out[i] for row which[i].
#include <cstdint>
#include <vector>

namespace drsl {

// In double.
void distances(const float* x, const float* rows, const std::vector<int32_t>& which, int64_t dim,
               double* out);
void distances(const double* x, const double* rows, const std::vector<int32_t>& which, int64_t dim,
               double* out);

// In float32, in half the time: off by at most rough_terms(dim) · 2^-24 of itself, and by dim · 2^-120
// where squares are below the smallest normal number.
void rough_distances(const float* x, const float* rows, const std::vector<int32_t>& which,
                     int64_t dim, float* out);
// One of 64 sums, their tree, three roundings before and rest to spare.
constexpr double rough_terms(int64_t dim) { return double(dim) / 64 + 32; }

// |x|² of rows [count, dim], in double. Not finite if the row is not (or it overflows).
void squared_lengths(const float* rows, int64_t count, int64_t dim, double* out);
void squared_lengths(const double* rows, int64_t count, int64_t dim, double* out);

}  // namespace drsl
