#pragma once
// What all kernels of a redistribution share: what is multiplied with what, and how a block's tile is
// cut. With C one of
//
//   symmetric   C_qk = A_qk + A_kq     rows and terms are the batch
//   queries     C_qk = A_qk            rows are queries, terms the gallery
//   gallery     C_kq = A_qk            rows are the gallery, terms the queries
//
// a block computes grad_i = Σ_j C_ij (other_j − own_i) + diagonal_i own_i for kRows rows i and kDims
// dimensions, a slab of kSlab terms j at a time.
#include <cstdint>

#include "cuda/stages.h"
#include "cuda/tile_ops.cuh"
#include "cuda/warp.cuh"

namespace drsl::cuda {

enum class From { kSymmetric, kQueries, kGallery };

// Pointers are those of the first set, and of the first query that is redistributed. Kernels are handed
// this as it is: what stays in constant memory takes no registers.
template <class E>
struct RedistributeTask {
  using T = Accumulator<E>;
  const T* a;            // [sets, queries, ld]
  const uint32_t* near;  // [sets, queries, ld / 32]
  const uint8_t* some;   // [sets, queries, ld / kLine]
  int64_t queries;
  int ld;

  const E *own, *other;            // rows, and what is summed over
  const T* norm2;                  // of `other`
  int rows, terms, dim;            // of a set, as many as take part
  int64_t own_count, other_count;  // of a set, as many as there are
  const T* diagonal;               // or null
  T* grad;                         // like own
  int64_t split;                   // numbers from the gradient of one split to the next
  bool add;
  bool aligned;  // rows of own and other begin at multiples of 16 bytes

  __device__ __forceinline__ const T* coefficients(int64_t s) const {
    return a + s * (queries * ld);
  }
  __device__ __forceinline__ const uint32_t* near_bits(int64_t s) const {
    return near + s * (queries * (ld / 32));
  }
  __device__ __forceinline__ const uint8_t* some_flags(int64_t s) const {
    return some + s * (queries * (ld / kLine));
  }
  __device__ __forceinline__ const E* own_rows(int64_t s) const {
    return own + s * (own_count * dim);
  }
  __device__ __forceinline__ const E* other_rows(int64_t s) const {
    return other + s * (other_count * dim);
  }
  __device__ __forceinline__ const T* other_norm2(int64_t s) const {
    return norm2 + s * other_count;
  }
  __device__ __forceinline__ T* gradient(int64_t s) const { return grad + s * (own_count * dim); }
};

// Four numbers in a row, moved by one instruction, or two.
template <class E>
struct alignas(sizeof(E) < 4 ? 8 : 16) QuadOf {
  E at[4];
};

// A slab of coefficients in shared memory is [kSlab][kRows], one of operands [kSlab][kDims], and
// a thread of the block also has 4 × 4 coefficients to prepare: rows from 4·row_quad on, terms
// from 4·term_quad on.
constexpr int kSlab = 32;

template <int threads, int rows, int dims>
struct TileShape {
  static constexpr int kThreads = threads, kRows = rows, kDims = dims;
  static constexpr int kRowQuads = kRows / 4, kTermQuads = kSlab / 4;
  static_assert(kRowQuads * kTermQuads == kThreads && kLine % kRows == 0 && kLine % kSlab == 0);

  static __device__ __forceinline__ int row_quad(int thread) { return thread % kRowQuads; }
  static __device__ __forceinline__ int term_quad(int thread) { return thread / kRowQuads; }
};

// A block's shared memory. Sums take the place of what was multiplied when they are added
// to the gradient.
template <class E, class Tile>
struct TileMemory {
  using T = Accumulator<E>;
  struct Slabs {
    T slab[2][kSlab * Tile::kRows];  // C transposed: one being multiplied, one being loaded
    T direct[Tile::kRows * kSlab];   // rows of A as they lie in memory
    E operand[2][kSlab * Tile::kDims];
  };
  struct Sums {
    T product[Tile::kRows * Tile::kDims];
    T coefficient[Tile::kRows];
  };
  static_assert(sizeof(Sums::product) >= sizeof(Slabs::slab));  // see gather_row_sums
  union {
    Slabs slabs;
    Sums sums;
  };
  uint32_t near[Tile::kRows];  // flags of the slab on its way: see SlabLoader
  T norm2[kSlab];              // of its terms
  uint32_t active[32];         // bits of tiles that hold anything
  // Which tile of which set it is. Here it takes no registers.
  int set, first_row, first_dim;
  // Queries alone: where the gradient goes, and where the block's share of the terms ends, in parts.
  T* gradient;
  int stop;
};

// The same number. What is computed from it is computed where it stands and not ahead of a loop, where it
// would take registers all through the loop.
__device__ __forceinline__ int computed_here(int x) {
  asm volatile("" : "+r"(x));
  return x;
}

// The first number of quad `quad` of a term's line in a slab.
template <class Multiply, class E>
__device__ __forceinline__ int place(int term, int quad, int line) {
  return term * line + 4 * (quad ^ Multiply::template swizzle<E>(term));
}

}  // namespace drsl::cuda
