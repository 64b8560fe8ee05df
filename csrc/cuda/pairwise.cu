// drsl::pairwise on a GPU. Everything is queued on torch's current stream, nothing waits for it.
#include <cstdint>
#include <optional>
#include <tuple>
#include <type_traits>

#include "cuda/pairwise.cuh"
#include "cuda/runtime.h"
#include "engine/arguments.h"

namespace drsl {
namespace {

using namespace cuda;

template <class In>
struct Stored {
  using type = In;
};
template <>
struct Stored<torch::headeronly::Half> {
  using type = cuda::Half;
};
template <>
struct Stored<torch::headeronly::BFloat16> {
  using type = cuda::BFloat16;
};

template <class T>
T* data(const Tensor& t) {
  if constexpr (std::is_const_v<T>)
    return static_cast<T*>(t.const_data_ptr());
  else
    return static_cast<T*>(t.mutable_data_ptr());
}

template <class In, class T>
void launch_row_norms(const Tensor& x, int64_t rows, int64_t D, const Tensor& norms,
                      cudaStream_t stream) {
  if (rows == 0) return;
  row_norms<In, T><<<grid_blocks((rows + kWarps - 1) / kWarps), kThreads, 0, stream>>>(
      data<const In>(x), rows, D, data<RowNorm<T>>(norms));
  check_launch("row_norms");
}

template <class In, class T>
void launch(const Embeddings& e, const Tensor& distance, const Tensor& cosine) {
  const DeviceScope scope(e.x);
  const int64_t D = e.D, x_rows = e.S * e.B, r_rows = e.gallery ? e.S * e.G : 0;
  const auto norms = [&](int64_t rows) {
    return torch::stable::new_empty(e.x, {rows, int64_t(2)}, e.accumulation());
  };
  const Tensor x_norms = norms(x_rows), r_norms = norms(r_rows);
  launch_row_norms<In, T>(e.x, x_rows, D, x_norms, scope.stream);
  if (e.gallery) launch_row_norms<In, T>(*e.gallery, r_rows, D, r_norms, scope.stream);

  PairwiseTask<In, T> task;
  task.x = data<const In>(e.x);
  task.r = data<const In>(e.gallery ? *e.gallery : e.x);
  task.S = e.S, task.B = e.B, task.G = e.G, task.D = D;
  task.self = !e.gallery;
  const auto first_bits = reinterpret_cast<uintptr_t>(task.x) | reinterpret_cast<uintptr_t>(task.r);
  task.aligned = (first_bits | uintptr_t(D * int64_t(sizeof(In)))) % 16 == 0;
  task.x_norm = data<const RowNorm<T>>(x_norms);
  task.r_norm = data<const RowNorm<T>>(e.gallery ? r_norms : x_norms);
  task.distance = data<T>(distance);
  task.cosine = data<T>(cosine);
  const unsigned blocks = grid_blocks(task.S * tiles_of_set(task));
  pairwise_tiles<In, T><<<blocks, kThreads, 0, scope.stream>>>(task);
  check_launch("pairwise_tiles");
}

std::tuple<Tensor, Tensor> pairwise_op(Tensor x, std::optional<Tensor> gallery) {
  const Embeddings e(x, gallery, Place::kCuda);
  const auto empty = [&] {
    return torch::stable::new_empty(e.x, e.shape({e.B, e.G}), e.accumulation());
  };
  const Tensor distance = empty(), cosine = empty();
  dispatch(e.type(), [&](auto in, auto acc) {
    if (distance.numel() == 0) return;
    launch<typename Stored<decltype(in)>::type, decltype(acc)>(e, distance, cosine);
  });
  return {distance, cosine};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(drsl, CUDA, m) { m.impl("pairwise", TORCH_BOX(&pairwise_op)); }

}  // namespace drsl
