// Gram rows → losses and coefficients, of all types of embeddings.
#include "cuda/turn_launch.cuh"
#include "cuda/turn_task.h"

namespace drsl::cuda {
int64_t turn_scratch_bytes(int64_t sets, int64_t rows, int64_t columns, int64_t item) {
  return Scratch(sets * rows, columns, item).bytes();
}

template <class T>
bool turn_gram(const TurnTask<T>& task, const std::string& loss, const std::vector<double>& params,
               void* scratch, cudaStream_t stream) {
  return with_policy<T>(loss, params, [&](const auto& policy) {
    if (task.row_count() == 0) return;
    launch_turn<GramSource<T>>(task, task.r.count, policy, scratch, stream);
  });
}

template <class E>
bool turn(const Turn<E>& t, const std::string& loss, const std::vector<double>& params,
          cudaStream_t stream) {
  return turn_gram(turn_task(t), loss, params, t.scratch, stream);
}

template bool turn(const Turn<double>&, const std::string&, const std::vector<double>&,
                   cudaStream_t);
template bool turn(const Turn<float>&, const std::string&, const std::vector<double>&,
                   cudaStream_t);
template bool turn(const Turn<Half>&, const std::string&, const std::vector<double>&, cudaStream_t);
template bool turn(const Turn<BFloat16>&, const std::string&, const std::vector<double>&,
                   cudaStream_t);

}  // namespace drsl::cuda
