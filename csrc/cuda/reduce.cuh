#pragma once
// Losses of all queries → the loss, its terms, and the share that a query has in them, by one block:
//
//   loss = share · Σ_q weight_q loss_q        share: 1 / Σ_q weight_q (mean), 1 (sum)
//
// 10⁵ queries are a few microseconds of loads; a second kernel to add up partial sums would cost more.
#include <cstdint>

#include "cuda/launch.h"
#include "cuda/runtime.h"
#include "cuda/stages.h"
#include "cuda/warp.cuh"

namespace drsl::cuda {

// By a block of kThreads threads.
template <int kThreads, class T>
__device__ __forceinline__ void reduce_rows(Reduction reduction, int64_t queries, const T* loss,
                                            const T* terms, const int* weighs, Reduced<T> out,
                                            double (&parts)[5][kThreads / 32]) {
  double sum[5] = {};  // loss, terms, weight
  for (int64_t q = threadIdx.x; q < queries; q += kThreads) {
    const double weight = weighs[q];
    sum[0] += weight * double(loss[q]);
#pragma unroll
    for (int t = 0; t < 3; ++t) sum[1 + t] += weight * double(terms[3 * q + t]);
    sum[4] += weight;
  }
#pragma unroll
  for (int k = 0; k < 5; ++k) sum[k] = block_sum<kThreads>(sum[k], parts[k]);
  if (threadIdx.x > 0) return;
  const double share = reduction != Reduction::kMean ? 1.0 : sum[4] > 0 ? 1.0 / sum[4] : 0.0;
  out.loss[0] = T(share * sum[0]);
#pragma unroll
  for (int t = 0; t < 3; ++t) out.terms[t] = T(share * sum[1 + t]);
  out.share[0] = T(share);
}

constexpr int kReduceThreads = 1024;

template <class T>
__global__ void __launch_bounds__(kReduceThreads, 1)
    reduce_queries(Reduction reduction, int64_t queries, const T* loss, const T* terms,
                   const int* weighs, Reduced<T> out) {
  __shared__ double parts[5][kReduceThreads / 32];
  reduce_rows<kReduceThreads>(reduction, queries, loss, terms, weighs, out, parts);
}

template <class T>
void reduce(Reduction reduction, int64_t queries, const T* loss, const T* terms, const int* weighs,
            Reduced<T> out, cudaStream_t stream) {
  if (reduction == Reduction::kNone) {
    const auto copy = [stream](T* to, const T* from, int64_t count) {
      check(cudaMemcpyAsync(to, from, size_t(count) * sizeof(T), cudaMemcpyDeviceToDevice, stream),
            "cudaMemcpyAsync");
    };
    copy(out.loss, loss, queries);
    copy(out.terms, terms, 3 * queries);
    return;
  }
  DRSL_LAUNCH(reduce_queries<T>, 1, kReduceThreads, 0, stream, reduction, queries, loss, terms,
              weighs, out);
  check_launch("reduce_queries");
}

}  // namespace drsl::cuda
