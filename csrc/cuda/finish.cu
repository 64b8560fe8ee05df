#include "cuda/finish.cuh"

#include <algorithm>

#include "cuda/runtime.h"
#include "cuda/warp.cuh"

namespace drsl::cuda {
namespace {

constexpr int kFinishThreads = 256, kFinishWarps = kFinishThreads / 32;
constexpr int kFinishBlocks = 4;  // an SM

// What out is made of: out = by · (g − along · x), and NaN where `bad`.
struct Projection {
  double by, along;
  bool bad;
};

// All sums are of x · inverse, a row of nearly unit length, so that no scale of x overflows; how nearly,
// corrects them.
template <class E, class T>
__device__ __forceinline__ Projection project(const E* x, T inverse, const T* grad, int64_t dim,
                                              double share) {
  const double by = double(inverse);
  double dot = 0, square = 0;
  bool any = false;
  for (int64_t k = lane_index(); k < dim; k += 32) {
    const double unit = double(widen(x[k])) * by, g = double(grad[k]);
    dot += g * unit;
    square += unit * unit;
    any |= g != 0;
  }
  // A bad row that takes no part has a gradient of 0.
  if (inverse != inverse) return {0, 0, __any_sync(kAllLanes, any) != 0};
  dot = warp_sum(dot), square = warp_sum(square);
  if (inverse == T(0)) return {0, 0, false};  // a zero row's derivative is 0, but NaN stays NaN
  return {share * by / sqrt(square), dot / square * by, false};
}

// A warp a row.
template <class E, class Out>
__global__ void __launch_bounds__(kFinishThreads, kFinishBlocks)
    finish_rows(const Side<E> x, int64_t rows, bool normalize, const Accumulator<E>* share_at,
                const Accumulator<E>* grad, Out* out) {
  const int64_t row = int64_t(blockIdx.x) * kFinishWarps + warp_index();
  if (row >= rows) return;
  const double share = share_at ? double(*share_at) : 1.0;
  const E* const own = x.rows + row * x.dim;
  grad += row * x.dim, out += row * x.dim;
  if (!normalize) {
    for (int64_t k = lane_index(); k < x.dim; k += 32) out[k] = Out(share * double(grad[k]));
    return;
  }
  const auto p = project(own, x.norms.inverse[row], grad, x.dim, share);
  for (int64_t k = lane_index(); k < x.dim; k += 32) {
    const double g = double(grad[k]);
    const double back = p.along == 0 ? p.by * g : p.by * (g - p.along * double(widen(own[k])));
    out[k] = p.bad ? Out(NAN) : x.norms.inverse[row] != x.norms.inverse[row] ? Out(0) : Out(back);
  }
}

}  // namespace

template <class E, class Out>
void finish(int64_t sets, Side<E> x, bool normalize, const Accumulator<E>* share,
            const Accumulator<E>* grad, Out* out, cudaStream_t stream) {
  const int64_t rows = sets * x.count;
  if (rows == 0 || x.dim == 0) return;
  constexpr auto kernel = &finish_rows<E, Out>;
  const auto blocks = unsigned((rows + kFinishWarps - 1) / kFinishWarps);
  DRSL_LAUNCH(kernel, dim3(blocks), dim3(kFinishThreads), 0, stream, x, rows, normalize, share,
              grad, out);
  check_launch("finish_rows");
}

template void finish(int64_t, Side<double>, bool, const double*, const double*, double*,
                     cudaStream_t);
template void finish(int64_t, Side<float>, bool, const float*, const float*, float*, cudaStream_t);
template void finish(int64_t, Side<Half>, bool, const float*, const float*, float*, cudaStream_t);
template void finish(int64_t, Side<BFloat16>, bool, const float*, const float*, float*,
                     cudaStream_t);

}  // namespace drsl::cuda
