#pragma once
// The stages of a loss on a GPU: plain pointers in, kernels on a stream out. Nothing here waits, and
// nothing allocates: whoever calls owns the memory.
//
//   measure            rows → their norms
//   normalise          rows → rows of unit length
//   gram               rows × rows → x·r
//   turn               a query's Gram row → loss, terms, coefficients A, in place
//   sum_angular        f_k = Σ_q F_qk
//   redistribute_*     coefficients → gradients
//
// With a_qk = (∂L/∂cos_qk) / (|x_q||r_k|), c_qk = (∂L/∂d_qk) / d_qk, A = a − c:
//
//   ∂X_q = Σ_k A_qk (r_k − x_q) + e_q x_q        e_q = Σ_k a_qk (1 − cos_qk |r_k| / |x_q|)
//   ∂R_k = Σ_q A_qk (x_q − r_k) + f_k r_k        f_k = Σ_q F_qk,  F_qk = a_qk (1 − cos_qk |x_q| / |r_k|)
//
// a, and so F, is 0 but for positives, or nowhere 0 (AngularAt of core/losses/policy.h): then rows
// have unit length, and e and f, which are projected away at last, are left out. E is the type that
// embeddings are stored in, T = Accumulator<E> the one that everything else comes in. All arrays
// are of `sets` independent problems, one behind the other; labels, own columns and exclusions are
// shared by them.
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "core/losses/policy.h"
#include "cuda/element.cuh"
#include "cuda/launch.h"
#include "engine/reduction.h"

namespace drsl::cuda {

template <class E>
using Accumulator = std::conditional_t<std::is_same_v<E, double>, double, float>;

constexpr int64_t kLine = 128;  // rows of matrices [.., columns] are padded to so many numbers

// A pair is near, and its Gram entry of no use, unless |x|² + |r|² − 2 x·r > kNear (|x|² + |r|²). Near
// pairs are computed from differences. Written so that untrusted rows (norm2 = ∞) are near to all.
template <class T>
constexpr T kNear = T(1) / T(32);

// [sets, count] each
template <class T>
struct Norms {
  T* norm;  // |x|, the largest number if it is beyond; NaN if the row is bad: holds NaN or infinity
  T* inverse;  // 1/|x|; 0 if the row counts as zero; NaN if bad
  T* norm2;    // |x|²; +∞ if products with the row would overflow or lose digits; NaN if bad
};

template <class E>
struct Side {
  const E* rows;  // [sets, count, dim]
  Norms<Accumulator<E>> norms;
  int64_t count, dim;
};

// Which entries a query compares with, and which of them are its positives.
struct Selected {
  const int64_t *x_label, *r_label;  // [B], [G]
  const int64_t* self_index;  // [B] own column, anything outside of [0, G) is none; null: see own
  bool own;                   // the gallery is the batch: column q is query q
  const uint8_t* exclude;     // [B, G] or null
  bool own_is_positive;       // own columns are not left out, whatever their labels
};

enum class Products {
  kFloat32,  // float32 accuracy
  kTF32,     // float32 embeddings may be rounded to TF32
};

// What becomes of the losses of all queries.
template <class T>
struct Reduced {
  T *loss, *terms;  // one and 3 numbers; [queries] and [queries, 3] if each query keeps its own
  T* share;         // one number: what a query weighs in the loss
};

template <class E>
void measure(const E* rows, int64_t count, int64_t dim, Norms<Accumulator<E>> out, cudaStream_t);

// unit = rows / |rows|, zero rows stay zero; bad rows hold NaN.
template <class E>
void normalise(const E* rows, int64_t count, int64_t dim, Norms<Accumulator<E>> norms,
               Accumulator<E>* unit, cudaStream_t);

// out[s, q − first, k] = x_q · r_k for q in [first, first + count) and k < G, NaN for bad rows; what
// lies behind the quad of column G − 1 is left as it is. What a pair gets depends on its two rows
// alone: equal rows get equal bits, x·r and r·x too. symmetric: r is x and the whole of it is wanted;
// half the work.
template <class E>
void gram(int64_t sets, const Side<E>& x, int64_t first, int64_t count, const Side<E>& r,
          bool symmetric, Accumulator<E>* out, int64_t ld, Products, cudaStream_t);

template <class E>
struct Turn {
  using T = Accumulator<E>;
  int64_t sets;
  Side<E> x, r;
  int64_t first, count;  // queries [first, first + count) of x; sets > 1: all
  Selected selected;
  const T* weight;  // [sets, B] what a query's coefficients are multiplied by; null: 1, or
  bool counted;     // what it weighs in a mean
  bool gradient;    // or the loss alone

  T* gram;     // [sets, count, ld] x·r → A, 0 from column G on
  int64_t ld;  // a multiple of kLine
  T* angular;  // [sets, count, ld] F, written where `at` says
  AngularAt at;
  uint32_t* near;  // [sets, count, ld / 32] bit k % 32 of word k / 32: the pair is near
  uint8_t* some;   // [sets, count, ld / kLine] whether any of these coefficients is not 0

  // [sets, B], of the queries that are turned
  T* loss;      // weighted by the loss's own weights; NaN if bad, 0 if it does not count
  T* terms;     // [sets, B, 3]
  T* radial;    // e_q
  int* weighs;  // what it weighs in a mean

  void* scratch;  // turn_scratch_bytes
};

// What turn needs for queries with many positives, their number being known to the device alone. The
// first kScratchZeros bytes must be 0 when turn is called, and are again when it is done.
constexpr int64_t kScratchZeros = 256;
int64_t turn_scratch_bytes(int64_t sets, int64_t rows, int64_t columns, int64_t item);

// False if there is no loss of that name with so many parameters.
template <class E>
bool turn(const Turn<E>&, const std::string& loss, const std::vector<double>& params, cudaStream_t);

// The same for distances and cosines that are given: drsl::rank_sort.
template <class T>
struct TurnDense {
  int64_t sets, rows, columns;
  Selected selected;
  const T *distance, *cosine;      // [sets, rows, columns]
  T *loss, *terms;                 // [sets, rows], [sets, rows, 3]
  T *grad_distance, *grad_cosine;  // [sets, rows, columns]
  int* weighs;                     // [sets, rows]
  void* scratch;                   // turn_scratch_bytes
};
template <class T>
bool turn(const TurnDense<T>&, const std::string& loss, const std::vector<double>& params,
          cudaStream_t);

// Small batches against themselves (small_pairs.cuh, small_product.cuh), a launch each.
constexpr int kSmallTile = 32;  // rows and columns of a tile of pairs
constexpr int kSmallSlab = 32;  // dimensions in shared memory at a time
constexpr int kSmallZeros = 64;

template <class E>
struct Small {
  using T = Accumulator<E>;
  Turn<E> turn;     // near and some are not used; x.norms are measured on the way; x is r
  int slices;       // of dimensions
  int64_t slice;    // dimensions of a slice, a multiple of kSmallSlab
  T *square, *dot;  // [slices, sets, B, ld]
  unsigned* zeros;  // [kSmallZeros] counters
  Reduction reduction;
  Reduced<T> out;
};

int64_t small_scratch_bytes(int64_t rows, int64_t columns, int64_t item);

template <class E>
void small_pairs(const Small<E>&, cudaStream_t);
// Loss, terms and share too, unless the reduction is none.
template <class E>
bool small_turn(const Small<E>&, const std::string& loss, const std::vector<double>& params,
                cudaStream_t);
// grad[s, q] = share · ( Σ_k (A_qk + A_kq)(x_k − x_q) + (e_q + f_q) x_q )
template <class E>
void small_product(const Small<E>&, Accumulator<E>* grad, cudaStream_t);

// Column sums of F over the queries that were turned, unless there is none; adds to f [sets, G] if
// `add`. partial: as many numbers as angular_partials says.
int64_t angular_partials(int64_t sets, int64_t count, int64_t columns);
template <class E>
void sum_angular(const Turn<E>&, Accumulator<E>* f, bool add, Accumulator<E>* partial,
                 cudaStream_t);

// Coefficients of queries [first, first + count), as turn left them.
template <class E>
struct Coefficients {
  using T = Accumulator<E>;
  int64_t sets;
  Side<E> x, r;
  int64_t first, count;
  const T* a;
  int64_t ld;
  const uint32_t* near;
  const uint8_t* some;
  Products products;
  T* splits = nullptr;  // split_numbers of workspace for redistribute_queries, or null
};

// Sums over k take the diagonal −Σ A from the coefficients as they are multiplied, so that what cancels
// in theory cancels in numbers; near pairs are summed from differences. Bad rows count as zero where
// their coefficient is 0.
//
// The gallery is the batch: grad[s, q] = Σ_k (A_qk + A_kq)(x_k − x_q) + diagonal_q x_q, of all queries.
template <class E>
void redistribute_symmetric(const Coefficients<E>&, const Accumulator<E>* diagonal,
                            Accumulator<E>* grad, cudaStream_t);
// grad[s, q] (+)= Σ_k A_qk (r_k − x_q) + e_q x_q, of these queries. e and grad are [sets, B(, D)].
template <class E>
void redistribute_queries(const Coefficients<E>&, const Accumulator<E>* e, Accumulator<E>* grad,
                          bool add, cudaStream_t);
// grad[s, k] (+)= Σ_q A_qk (x_q − r_k), and f_k r_k unless f is null.
template <class E>
void redistribute_gallery(const Coefficients<E>&, const Accumulator<E>* f, Accumulator<E>* grad,
                          bool add, cudaStream_t);

}  // namespace drsl::cuda
