// Column sums of what angles give to the rows of the gallery.
#include "cuda/angular.cuh"
#include "cuda/runtime.h"

namespace drsl::cuda {

int64_t angular_partials(int64_t sets, int64_t count, int64_t columns) {
  const AngularShape shape(sets, count, columns);
  return shape.chunks > 1 ? sets * shape.chunks * columns : 0;
}

template <class E>
void sum_angular(const Turn<E>& t, Accumulator<E>* f, bool add, Accumulator<E>* partial,
                 cudaStream_t stream) {
  using T = Accumulator<E>;
  constexpr int64_t kMostBlocks = 65535;  // of a grid's second dimension
  const AngularShape shape(t.sets, t.count, t.r.count);
  if (shape.sets * shape.columns == 0 || t.at != AngularAt::kPositives) return;
  const unsigned across = unsigned((shape.columns + kAngularThreads - 1) / kAngularThreads);
  const auto grid = [&](int64_t down) {
    return dim3(across, unsigned(std::min(down, kMostBlocks)));
  };
  if (shape.chunks == 1) {
    const AngularTask<T> task{shape, t.selected, t.first, t.ld, t.angular, f, add};
    DRSL_LAUNCH(angular_parts<T>, grid(shape.sets), kAngularThreads, 0, stream, task);
    check_launch("angular_parts");
    return;
  }
  if (shape.chunks > 1) {
    const AngularTask<T> task{shape, t.selected, t.first, t.ld, t.angular, partial, false};
    DRSL_LAUNCH(angular_parts<T>, grid(shape.sets * shape.chunks), kAngularThreads, 0, stream,
                task);
    check_launch("angular_parts");
  }
  DRSL_LAUNCH(angular_total<T>, grid(shape.sets), kAngularThreads, 0, stream, shape,
              static_cast<const T*>(partial), f, add);
  check_launch("angular_total");
}

template void sum_angular(const Turn<double>&, double*, bool, double*, cudaStream_t);
template void sum_angular(const Turn<float>&, float*, bool, float*, cudaStream_t);
template void sum_angular(const Turn<Half>&, float*, bool, float*, cudaStream_t);
template void sum_angular(const Turn<BFloat16>&, float*, bool, float*, cudaStream_t);

}  // namespace drsl::cuda
