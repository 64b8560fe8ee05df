#pragma once
// f_k = Σ_q F_qk over the queries that k is a positive of, in two kernels:
//
//   angular_parts    a thread a column, a block a chunk of queries: partial [sets, chunks, G]
//   angular_total    the chunks in order
//
// F is there at positives only, so labels say where it is read. A single chunk goes to f at once.
#include <algorithm>
#include <cstdint>

#include "cuda/query.cuh"

namespace drsl::cuda {

constexpr int kAngularThreads = 256;
constexpr int64_t kAngularRows = 64;    // of a chunk, at least
constexpr int64_t kAngularChunks = 64;  // at most

struct AngularShape {
  int64_t sets, count, columns, chunk_rows, chunks;

  AngularShape(int64_t sets, int64_t count, int64_t columns)
      : sets(sets), count(count), columns(columns) {
    chunk_rows = std::max(kAngularRows, (count + kAngularChunks - 1) / kAngularChunks);
    chunks = (count + chunk_rows - 1) / chunk_rows;
  }
};

template <class T>
struct AngularTask {
  AngularShape shape;
  Selected selected;
  int64_t first, ld;
  const T* angular;  // [sets, count, ld]
  T* out;            // [sets, chunks, G]
  bool add;
};

// grid: columns, chunks · sets
template <class T>
__global__ void __launch_bounds__(kAngularThreads, 4) angular_parts(const AngularTask<T> task) {
  const AngularShape& s = task.shape;
  const int64_t k = int64_t(blockIdx.x) * kAngularThreads + threadIdx.x;
  if (k >= s.columns) return;
  const int64_t label = task.selected.r_label[k];
  for (int64_t part = blockIdx.y; part < s.chunks * s.sets; part += gridDim.y) {
    const int64_t begin = part % s.chunks * s.chunk_rows;
    const int64_t end = begin + s.chunk_rows < s.count ? begin + s.chunk_rows : s.count;
    const T* const angular = task.angular + part / s.chunks * s.count * task.ld + k;
    T sum = 0;
#pragma unroll 4
    for (int64_t i = begin; i < end; ++i) {
      if (task.selected.x_label[task.first + i] != label) continue;
      if (Query(task.selected, task.first + i, s.columns).compares(int(k)))
        sum += angular[i * task.ld];
    }
    T& out = task.out[part * s.columns + k];
    out = task.add ? out + sum : sum;
  }
}

// partial [sets, chunks, G] → f [sets, G]; grid: columns, sets
template <class T>
__global__ void __launch_bounds__(kAngularThreads, 4)
    angular_total(const AngularShape s, const T* partial, T* f, bool add) {
  const int64_t k = int64_t(blockIdx.x) * kAngularThreads + threadIdx.x;
  if (k >= s.columns) return;
  for (int64_t set = blockIdx.y; set < s.sets; set += gridDim.y) {
    T sum = add ? f[set * s.columns + k] : T(0);
#pragma unroll 8
    for (int64_t c = 0; c < s.chunks; ++c) sum += partial[(set * s.chunks + c) * s.columns + k];
    f[set * s.columns + k] = sum;
  }
}

}  // namespace drsl::cuda
