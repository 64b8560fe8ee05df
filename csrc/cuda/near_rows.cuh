#pragma once
// grad_i += Σ_j C_ij (other_j − own_i) over the pairs that are near, from the differences themselves: in
// the order of j, in double, and halved so that a difference cannot overflow. Where no pair is near it
// costs a look at the bits.
#include "cuda/redistribute_tile.cuh"

namespace drsl::cuda {

constexpr int kNearThreads = 256, kNearWarps = kNearThreads / 32;
constexpr int kNearBlocks = 4;  // an SM
constexpr int kNearEach = 4;    // dimensions of a lane at a time

// 32 · kNearEach dimensions of a gradient row, by a warp.
struct NearSum {
  double own[kNearEach] = {}, sum[kNearEach] = {};

  template <class E>
  __device__ __forceinline__ NearSum(const E* row, int64_t first, int64_t dim) {
#pragma unroll
    for (int e = 0; e < kNearEach; ++e) {
      const int64_t k = first + 32 * e + lane_index();
      if (k < dim) own[e] = 0.5 * double(widen(row[k]));
    }
  }

  template <class E>
  __device__ __forceinline__ void add(double coefficient, const E* row, int64_t first,
                                      int64_t dim) {
#pragma unroll
    for (int e = 0; e < kNearEach; ++e) {
      const int64_t k = first + 32 * e + lane_index();
      if (k < dim) sum[e] += 2 * coefficient * (0.5 * double(widen(row[k])) - own[e]);
    }
  }

  template <class T>
  __device__ __forceinline__ void add_to(T* grad, int64_t first, int64_t dim) const {
#pragma unroll
    for (int e = 0; e < kNearEach; ++e) {
      const int64_t k = first + 32 * e + lane_index();
      if (k < dim) grad[k] = T(double(grad[k]) + sum[e]);
    }
  }
};

// Adds the terms whose coefficient is not 0, which lane l has of term first_term + l, to the sum.
template <class E>
__device__ __forceinline__ void add_terms(NearSum& near, double coefficient, int64_t first_term,
                                          const RedistributeTask<E>& task, const E* other,
                                          int64_t first_dim) {
  unsigned left = __ballot_sync(kAllLanes, coefficient != 0);
  for (; left; left &= left - 1) {
    const int l = __ffs(int(left)) - 1;
    near.add(__shfl_sync(kAllLanes, coefficient, l), other + (first_term + l) * task.dim, first_dim,
             task.dim);
  }
}

// Rows of A are rows of the gradient: a warp a row.
template <class E, From kFrom>
__global__ void __launch_bounds__(kNearThreads, kNearBlocks)
    near_rows(const RedistributeTask<E> task, unsigned first_set) {
  const unsigned set = first_set + blockIdx.z;
  const int64_t row = int64_t(blockIdx.x) * kNearWarps + warp_index(), words = task.ld / 32;
  if (row >= task.rows) return;
  const uint32_t* const near = task.near_bits(set) + row * words;
  const auto* const a = task.coefficients(set);
  const E* const other = task.other_rows(set);
  bool any = false;
#pragma unroll 4
  for (int64_t w = lane_index(); w < words; w += 32) any |= near[w] != 0;
  if (!__any_sync(kAllLanes, any)) return;

  for (int64_t first = 0; first < task.dim; first += 32 * kNearEach) {
    NearSum sum(task.own_rows(set) + row * task.dim, first, task.dim);
    for (int64_t w0 = 0; w0 < words; w0 += 32) {
      const uint32_t mine = w0 + lane_index() < words ? near[w0 + lane_index()] : 0;
      for (unsigned left = __ballot_sync(kAllLanes, mine != 0); left; left &= left - 1) {
        const int l = __ffs(int(left)) - 1;
        const uint32_t bits = __shfl_sync(kAllLanes, mine, l);
        const int64_t term = (w0 + l) * 32, k = term + lane_index();
        double c = 0;
        if (bits >> lane_index() & 1 && k < task.terms) {
          c = double(a[row * int64_t(task.ld) + k]);
          if constexpr (kFrom == From::kSymmetric) c += double(a[k * int64_t(task.ld) + row]);
        }
        add_terms(sum, c, term, task, other, first);
      }
    }
    sum.add_to(task.gradient(set) + row * task.dim, first, task.dim);
  }
}

constexpr int kNearWords =
    8;  // words of 32 columns that a block looks at: a sector of memory a row

// Columns of A are rows of the gradient: a block 256 columns, a warp 32 of them.
template <class E>
__global__ void __launch_bounds__(kNearThreads, kNearBlocks)
    near_columns(const RedistributeTask<E> task, unsigned first_set) {
  static_assert(kNearWords == kNearWarps);
  __shared__ uint32_t found[kNearWarps][kNearWords];
  const unsigned set = first_set + blockIdx.z;
  const int64_t words = task.ld / 32, first_word = int64_t(blockIdx.x) * kNearWords;
  const int64_t look_at = first_word + threadIdx.x % kNearWords;
  const uint32_t* const near = task.near_bits(set);
  const auto* const a = task.coefficients(set);
  const E* const other = task.other_rows(set);
  uint32_t any = 0;
  if (look_at < words) {
#pragma unroll 8
    for (int64_t q = threadIdx.x / kNearWords; q < task.terms; q += kNearThreads / kNearWords)
      any |= near[q * words + look_at];
  }
  any |= __shfl_xor_sync(kAllLanes, any, 8);
  any |= __shfl_xor_sync(kAllLanes, any, 16);
  if (lane_index() < kNearWords) found[warp_index()][lane_index()] = any;
  __syncthreads();
  uint32_t columns = 0;
#pragma unroll
  for (int w = 0; w < kNearWarps; ++w) columns |= found[w][warp_index()];

  const int64_t word = first_word + warp_index();
  for (; columns; columns &= columns - 1) {
    const int bit = __ffs(int(columns)) - 1;
    const int64_t row = word * 32 + bit;
    if (row >= task.rows) break;
    for (int64_t first = 0; first < task.dim; first += 32 * kNearEach) {
      NearSum sum(task.own_rows(set) + row * task.dim, first, task.dim);
      for (int64_t q0 = 0; q0 < task.terms; q0 += 32) {
        const int64_t q = q0 + lane_index();
        const bool is_near = q < task.terms && (near[q * words + word] >> bit & 1);
        add_terms(sum, is_near ? double(a[q * int64_t(task.ld) + row]) : 0.0, q0, task, other,
                  first);
      }
      sum.add_to(task.gradient(set) + row * task.dim, first, task.dim);
    }
  }
}

}  // namespace drsl::cuda
