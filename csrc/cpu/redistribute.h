#pragma once
// Coefficients A and their diagonals → gradients of both sides (docs/design.md):
//
//   ∂X_q = Σ_k A_qk (r_k − x_q) + e_q x_q          ∂R_k = Σ_q A_qk (x_q − r_k) + f_k r_k
//
// Sums over far pairs are products with the operands; near pairs, flagged, are summed from
// differences. The diagonal −Σ A is taken from the coefficients as they are rounded, so that it
// cancels what they add.
#include <cstdint>

#include "cpu/memory.h"
#include "cpu/rows.h"

namespace drsl {

template <class T>
struct Coefficients {
  T* a;            // [rows, leading]; spoilt by redistributing
  uint64_t* near;  // [rows, leading / 64] flags
  int64_t leading;
  bool normalize;
};

// The gallery is the batch and all of A is there, rows and columns padded to whole tiles of 64: S =
// A + Aᵀ, one product. grad [B, D] is overwritten; diagonal [B] is e + f.
template <class T>
void redistribute_triangle(const Coefficients<T>& c, const Rows<T>& x, const double* diagonal,
                           T* grad);

// Rows [first, first + count) of A. Adds to grad_x [B, D] and, unless null, to grad_r [G, D] (they
// may be one array) all but f_k r_k and the column sums. These gather in column_sum [G] until
// finish_gallery adds them.
template <class T>
void redistribute_block(const Coefficients<T>& c, const Rows<T>& x, int64_t first, int64_t count,
                        const Rows<T>& r, const double* e, T* grad_x, T* grad_r,
                        double* column_sum);

// grad_r_k += f_k r_k − column_sum_k r_k
template <class T>
void finish_gallery(const Rows<T>& r, const double* f, const double* column_sum, T* grad_r);

// Back through the scaling to unit length: grad = (grad − (grad·x̂) x̂) / |x|.
template <class T>
void project(const Rows<T>& x, T* grad);

}  // namespace drsl
