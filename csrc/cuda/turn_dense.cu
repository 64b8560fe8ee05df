// Given distances and cosines → losses and their derivatives.
#include "cuda/source_dense.cuh"
#include "cuda/turn_launch.cuh"

namespace drsl::cuda {

template <class T>
bool turn(const TurnDense<T>& t, const std::string& loss, const std::vector<double>& params,
          cudaStream_t stream) {
  DenseTask<T> task;
  static_cast<TurnDense<T>&>(task) = t;
  const auto starts =
      reinterpret_cast<uintptr_t>(t.distance) | reinterpret_cast<uintptr_t>(t.cosine) |
      reinterpret_cast<uintptr_t>(t.grad_distance) | reinterpret_cast<uintptr_t>(t.grad_cosine);
  task.aligned = t.columns % 4 == 0 && starts % 16 == 0;
  return with_policy<T>(loss, params, [&](const auto& policy) {
    if (task.row_count() == 0) return;
    launch_turn<DenseSource<T>>(task, t.columns, policy, t.scratch, stream);
  });
}

template bool turn(const TurnDense<double>&, const std::string&, const std::vector<double>&,
                   cudaStream_t);
template bool turn(const TurnDense<float>&, const std::string&, const std::vector<double>&,
                   cudaStream_t);

}  // namespace drsl::cuda
