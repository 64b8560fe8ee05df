#pragma once
// Small batches, last launch: coefficients → gradient, from differences, so that near pairs
// need no care:
//
//   grad_q = share · ( Σ_k (A_qk + A_kq)(x_k − x_q) + (e_q + f_q) x_q ),        f_q = Σ_k F_kq
//
// A block has 32 queries × 32 dimensions and goes through the columns 32 at a time; F lies in a matrix
// of its own, 0 wherever k is no positive of q.
#include <cstdint>

#include "cuda/element.cuh"
#include "cuda/small_pairs.cuh"
#include "cuda/stages.h"

namespace drsl::cuda {

template <class E>
struct SmallProduct {
  using T = Accumulator<E>;
  Side<E> x;
  const T *a, *angular;  // [sets, B, ld]; no angular: F is 0
  int64_t ld;
  const T* radial;  // [sets, B]
  const T* share;   // one number, or null: 1
  T* grad;          // [sets, B, D]
};

// Shared memory of a block: S and X of 32 columns, and a part of f for each of 8 rows of threads.
template <class T>
struct SmallProductShared {
  alignas(16) T s[kSmallTile][kSmallRow];  // [column, query]: a thread's queries lie together
  T x[kSmallTile][kSmallTile];
  T f[kSmallTile][kSmallThreads / kSmallTile + 1];
};

constexpr int kSmallEach = kSmallTile * kSmallTile / kSmallThreads;  // queries of a thread
static_assert(kSmallEach == 4);                                      // a quad

// S = A + Aᵀ of queries [q, q + 32) and columns [k, k + 32); returns the thread's share of Σ_k F_kq
// for query q + threadIdx.x % 32.
template <class E, class T>
__device__ __forceinline__ T load_small_sums(const SmallProduct<E>& task, int set, int q, int k,
                                             SmallProductShared<T>& shared) {
  const int B = int(task.x.count), lane = int(threadIdx.x) % kSmallTile;
  const int64_t matrix = int64_t(set) * B * task.ld;
  const T* const a = task.a + matrix;
  const T* const angular = task.angular ? task.angular + matrix : nullptr;
  T f = 0;
#pragma unroll
  for (int e = 0; e < kSmallEach; ++e) {
    const int row = int(threadIdx.x) / kSmallTile + e * (kSmallThreads / kSmallTile);
    const bool in = k + row < B && q + lane < B;  // transposed: lanes run along queries
    const int64_t at = (k + row) * task.ld + q + lane;
    shared.s[row][lane] = in ? a[at] : T(0);
    f += in && angular ? angular[at] : T(0);
  }
  __syncthreads();
#pragma unroll
  for (int e = 0; e < kSmallEach; ++e) {
    const int row = int(threadIdx.x) / kSmallTile + e * (kSmallThreads / kSmallTile);
    if (q + row < B && k + lane < B) shared.s[lane][row] += a[(q + row) * task.ld + k + lane];
  }
  return f;
}

// Grid: (tiles of queries, tiles of dimensions, sets).
template <class E>
__global__ void __launch_bounds__(kSmallThreads, 3) sum_differences(const SmallProduct<E> task) {
  using T = Accumulator<E>;
  __shared__ SmallProductShared<T> shared;
  const int B = int(task.x.count), q = int(blockIdx.x) * kSmallTile, set = int(blockIdx.z);
  const int64_t d = int64_t(blockIdx.y) * kSmallTile;
  const int lane = int(threadIdx.x) % kSmallTile, own = int(threadIdx.x) / kSmallTile * kSmallEach;
  const E* const rows = task.x.rows + int64_t(set) * B * task.x.dim;
  const T* const inverse = task.x.norms.inverse + int64_t(set) * B;
  const bool in_d = d + lane < task.x.dim;
  const auto entry = [&](int k) {  // 0 for a bad row: its coefficients say what becomes of it
    const bool good = k < B && in_d && inverse[k] == inverse[k];
    return good ? T(widen(rows[k * task.x.dim + d + lane])) : T(0);
  };

  T x[kSmallEach], sum[kSmallEach] = {}, f = 0;
#pragma unroll
  for (int e = 0; e < kSmallEach; ++e) x[e] = entry(q + own + e);
  for (int k = 0; k < B; k += kSmallTile) {
    __syncthreads();
    f += load_small_sums(task, set, q, k, shared);
#pragma unroll
    for (int e = 0; e < kSmallEach; ++e) shared.x[own + e][lane] = entry(k + own + e);
    __syncthreads();
#pragma unroll 8
    for (int j = 0; j < kSmallTile; ++j) {
      const T theirs = shared.x[j][lane];
      const Quad<T> s = *reinterpret_cast<const Quad<T>*>(&shared.s[j][own]);
#pragma unroll
      for (int e = 0; e < kSmallEach; ++e) sum[e] += s.at[e] * (theirs - x[e]);
    }
  }
  shared.f[lane][int(threadIdx.x) / kSmallTile] = f;
  __syncthreads();
  const T share = task.share ? task.share[0] : T(1);
#pragma unroll
  for (int e = 0; e < kSmallEach; ++e) {
    const int i = q + own + e;
    if (i >= B || !in_d) continue;
    T diagonal = task.radial[int64_t(set) * B + i];
#pragma unroll
    for (int w = 0; w < kSmallThreads / kSmallTile; ++w) diagonal += shared.f[own + e][w];
    task.grad[(int64_t(set) * B + i) * task.x.dim + d + lane] = share * (sum[e] + diagonal * x[e]);
  }
}

}  // namespace drsl::cuda
