// drsl::pairwise on a GPU. Everything is queued on torch's current stream, nothing waits for it.
#include <cstdint>
#include <optional>
#include <tuple>

#include "cuda/gram_launch.cuh"
#include "cuda/pairwise_mend.cuh"
#include "cuda/tensors.h"

namespace drsl {
namespace {

using namespace cuda;

// [3, rows]
template <class T>
Norms<T> norms_of(const Tensor& store, int64_t rows) {
  T* const first = data<T>(store);
  return {first, first + rows, first + 2 * rows};
}

constexpr int64_t kMostBlocks = 4096;  // a few times what a GPU runs at once

template <class E>
void launch(const Embeddings& e, bool tf32, const Tensor& distance, const Tensor& cosine) {
  using T = Accumulator<E>;
  const DeviceScope scope(e.x);
  const auto measured = [&](const Tensor& rows, int64_t count) {
    const Tensor store = empty_beside(e.x, {int64_t(3), e.S * count}, e.accumulation());
    measure(data<const E>(rows), e.S * count, e.D, norms_of<T>(store, e.S * count), scope.stream);
    return store;
  };
  const Tensor x_store = measured(e.x, e.B);
  const Tensor r_store = e.gallery ? measured(*e.gallery, e.G) : x_store;

  GramTask<E> task;
  task.x = data<const E>(e.x);
  task.r = data<const E>(e.gallery ? *e.gallery : e.x);
  task.x_stride = e.B * e.D, task.r_stride = e.G * e.D;
  task.sets = e.S, task.rows = e.B, task.columns = e.G, task.dim = e.D;
  task.unit = copy_unit(task.x, task.r, e.D);
  task.symmetric = !e.gallery;

  PairOutput<E> output;
  output.x = norms_of<T>(x_store, e.S * e.B);
  output.r = norms_of<T>(r_store, e.S * e.G);
  output.distance = data<T>(distance), output.cosine = data<T>(cosine);
  output.self = !e.gallery;
  const auto bits =
      reinterpret_cast<uintptr_t>(output.distance) | reinterpret_cast<uintptr_t>(output.cosine);
  output.quads = bits % 16 == 0 && e.G % 4 == 0;

  const int64_t across = (e.G + 3) / 4, fours = e.S * ((e.B + 3) / 4) * across;
  const Tensor near = empty_beside(e.x, {fours}, ScalarType::Short);
  output.near = data<uint16_t>(near);
  launch_gram(task, output, tf32 ? Products::kTF32 : Products::kFloat32, scope.stream);
  const int64_t pieces = fours / across * ((across + 31) / 32);
  const auto blocks =
      unsigned(std::min<int64_t>((pieces + kMendWarps - 1) / kMendWarps, kMostBlocks));
  DRSL_LAUNCH(mend_pairs<E>, blocks, kMendThreads, 0, scope.stream, task, output);
  check_launch("mend_pairs");
}

std::tuple<Tensor, Tensor> pairwise_op(Tensor x, std::optional<Tensor> gallery, bool tf32) {
  const Embeddings e(x, gallery, Device::kCuda);
  const auto empty = [&] { return empty_beside(e.x, e.shape({e.B, e.G}), e.accumulation()); };
  const Tensor distance = empty(), cosine = empty();
  dispatch(e.type(), [&](auto in, auto) {
    if (distance.numel() > 0)
      launch<typename Stored<decltype(in)>::type>(e, tf32, distance, cosine);
  });
  return {distance, cosine};
}

}  // namespace

DRSL_CUDA_OPERATORS(m) { m.impl("pairwise", TORCH_BOX(&pairwise_op)); }

}  // namespace drsl
