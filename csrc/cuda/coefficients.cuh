#pragma once
// Any ∂L/∂d and ∂L/∂cos of all pairs → coefficients A and their diagonals, as redistribute_* want them:
//
//   coefficient_rows    A_qk, flags of near pairs and of empty tiles, e_q: a block a query
//   angular_columns     Σ F_qk of kAngularRows queries q: a thread a column
//   add_angular         f_k from those, in the order of q; adds e_k where the gallery is the batch
#include <cstdint>
#include <limits>

#include "cuda/stages.h"
#include "cuda/warp.cuh"

namespace drsl::cuda {

constexpr int kCoefficientThreads = 256;
constexpr int kCoefficientBlocks = 4;  // an SM
constexpr int kAngularRows = 64;

// Of all sets, one behind the other.
template <class T>
struct CoefficientTask {
  const T *grad_distance, *grad_cosine, *distance, *cosine;  // [sets, rows, columns]
  Norms<T> x, r;
  int64_t rows, columns, ld;
  T* a;            // [sets, rows, ld]
  uint32_t* near;  // [sets, rows, ld / 32]
  uint8_t* some;   // [sets, rows, ld / kLine]
  T* e;            // [sets, rows]
  double* part;    // [sets, parts, columns]
  T* f;            // [sets, columns]

  __host__ __device__ int64_t parts() const { return (rows + kAngularRows - 1) / kAngularRows; }
};

template <class T>
struct PairRow {
  double inverse;
  T norm2;
};
template <class T>
__device__ __forceinline__ PairRow<T> row_of(const Norms<T>& norms, int64_t i) {
  return {double(norms.inverse[i]), norms.norm2[i]};
}

// −(∂L/∂d) / d + (∂L/∂cos) / (|x||r|). Where nothing is passed on d may be NaN; where d has no
// derivative what is passed on may be NaN, and is to be seen.
template <class T>
__device__ __forceinline__ T coefficient(T grad_distance, T grad_cosine, T distance, double ix,
                                         double ir) {
  double a = 0;
  if (grad_distance != T(0))
    a = distance < std::numeric_limits<T>::min() ? 0 * double(grad_distance)
                                                 : -double(grad_distance) / double(distance);
  if (grad_cosine != T(0)) a += double(grad_cosine) * ix * ir;
  return T(a);
}

template <class T>
__global__ void __launch_bounds__(kCoefficientThreads, kCoefficientBlocks)
    coefficient_rows(const CoefficientTask<T> task, unsigned first_set) {
  __shared__ double parts[kCoefficientThreads / 32];
  const int64_t set = first_set + blockIdx.z, row = set * task.rows + blockIdx.x;
  const int64_t from = row * task.columns;
  const PairRow<T> x = row_of(task.x, row);
  double e = 0;
  for (int64_t line = warp_index(); line < task.ld / kLine; line += kCoefficientThreads / 32) {
    bool some = false;
#pragma unroll 1
    for (int word = 0; word < kLine / 32; ++word) {
      const int64_t k = line * kLine + word * 32 + lane_index();
      T a = 0;
      bool near = false;
      if (k < task.columns) {
        const PairRow<T> r = row_of(task.r, set * task.columns + k);
        const T d = task.distance[from + k], grad_cosine = task.grad_cosine[from + k];
        a = coefficient(task.grad_distance[from + k], grad_cosine, d, x.inverse, r.inverse);
        near = !(d * d > kNear<T> * (x.norm2 + r.norm2));
        if (grad_cosine != T(0))
          e += double(grad_cosine) * x.inverse *
               (r.inverse - double(task.cosine[from + k]) * x.inverse);
      }
      task.a[row * task.ld + k] = a;
      some |= a != T(0);
      const uint32_t bits = __ballot_sync(kAllLanes, near);
      if (lane_index() == 0) task.near[row * (task.ld / 32) + k / 32] = bits;
    }
    some = __any_sync(kAllLanes, some) != 0;
    if (lane_index() == 0) task.some[row * (task.ld / kLine) + line] = some;
  }
  e = block_sum<kCoefficientThreads>(e, parts);
  if (threadIdx.x == 0) task.e[row] = T(e);
}

template <class T>
__global__ void __launch_bounds__(kCoefficientThreads, kCoefficientBlocks)
    angular_columns(const CoefficientTask<T> task, unsigned first_set) {
  const int64_t set = first_set + blockIdx.z, part = blockIdx.y;
  const int64_t k = int64_t(blockIdx.x) * kCoefficientThreads + threadIdx.x;
  if (k >= task.columns) return;
  const double ir = double(task.r.inverse[set * task.columns + k]);
  const int64_t begin = part * kAngularRows, left = task.rows - begin;
  const int64_t end = begin + (left < kAngularRows ? left : kAngularRows);
  double f = 0;
#pragma unroll 4
  for (int64_t q = begin; q < end; ++q) {
    const int64_t at = (set * task.rows + q) * task.columns + k;
    const T grad_cosine = task.grad_cosine[at];
    if (grad_cosine != T(0))
      f += double(grad_cosine) * ir *
           (double(task.x.inverse[set * task.rows + q]) - double(task.cosine[at]) * ir);
  }
  task.part[(set * task.parts() + part) * task.columns + k] = f;
}

template <class T>
__global__ void __launch_bounds__(kCoefficientThreads, kCoefficientBlocks)
    add_angular(const CoefficientTask<T> task, unsigned first_set, bool add_e) {
  const int64_t set = first_set + blockIdx.z;
  const int64_t k = int64_t(blockIdx.x) * kCoefficientThreads + threadIdx.x;
  if (k >= task.columns) return;
  double f = 0;
  for (int64_t part = 0; part < task.parts(); ++part)
    f += task.part[(set * task.parts() + part) * task.columns + k];
  if (add_e) f += double(task.e[set * task.rows + k]);
  task.f[set * task.columns + k] = T(f);
}

}  // namespace drsl::cuda
