// measure, normalise: see stages.h.
#include "cuda/measure.cuh"

#include "cuda/runtime.h"

namespace drsl::cuda {
namespace {

unsigned blocks_for(int64_t rows) {
  return grid_blocks((rows + kMeasureWarps - 1) / kMeasureWarps);
}

template <class E>
bool rows_aligned(const E* rows, int64_t dim) {
  return (reinterpret_cast<uintptr_t>(rows) | uintptr_t(dim * int64_t(sizeof(E)))) % 16 == 0;
}

}  // namespace

template <class E>
void measure(const E* rows, int64_t count, int64_t dim, Norms<Accumulator<E>> out,
             cudaStream_t stream) {
  if (count == 0) return;
  DRSL_LAUNCH(measure_rows<E>, blocks_for(count), kMeasureThreads, 0, stream, rows, count, dim,
              rows_aligned(rows, dim), out);
  check_launch("measure_rows");
}

template <class E>
void normalise(const E* rows, int64_t count, int64_t dim, Norms<Accumulator<E>> norms,
               Accumulator<E>* unit, cudaStream_t stream) {
  if (count == 0) return;
  DRSL_LAUNCH(normalise_rows<E>, blocks_for(count), kMeasureThreads, 0, stream, rows, count, dim,
              rows_aligned(rows, dim), norms, unit);
  check_launch("normalise_rows");
}

template void measure(const double*, int64_t, int64_t, Norms<double>, cudaStream_t);
template void measure(const float*, int64_t, int64_t, Norms<float>, cudaStream_t);
template void measure(const Half*, int64_t, int64_t, Norms<float>, cudaStream_t);
template void measure(const BFloat16*, int64_t, int64_t, Norms<float>, cudaStream_t);
template void normalise(const double*, int64_t, int64_t, Norms<double>, double*, cudaStream_t);
template void normalise(const float*, int64_t, int64_t, Norms<float>, float*, cudaStream_t);
template void normalise(const Half*, int64_t, int64_t, Norms<float>, float*, cudaStream_t);
template void normalise(const BFloat16*, int64_t, int64_t, Norms<float>, float*, cudaStream_t);

}  // namespace drsl::cuda
