// drsl::redistribute on a GPU. Everything is queued on torch's current stream, nothing waits for it.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <tuple>

#include "cuda/coefficients.cuh"
#include "cuda/plan.h"
#include "cuda/runtime.h"
#include "cuda/stages.h"
#include "cuda/tensors.h"
#include "engine/arguments.h"

namespace drsl {
namespace {

using namespace cuda;

constexpr int64_t kMostSets = 65535;  // of a grid

// Where everything lies between the inputs and the gradients, in one allocation.
template <class T>
CoefficientTask<T> lay_out(const Embeddings& e, Pieces& pieces) {
  CoefficientTask<T> task{};
  const auto norms = [&](int64_t rows) {
    return Norms<T>{pieces.take<T>(rows), pieces.take<T>(rows), pieces.take<T>(rows)};
  };
  const int64_t queries = e.S * e.B, entries = e.S * e.G;
  task.rows = e.B, task.columns = e.G;
  task.ld = (e.G + kLine - 1) / kLine * kLine;
  task.x = norms(queries);
  task.r = e.gallery ? norms(entries) : task.x;
  task.a = pieces.take<T>(queries * task.ld);
  task.near = pieces.take<uint32_t>(queries * task.ld / 32);
  task.some = pieces.take<uint8_t>(queries * task.ld / kLine);
  task.e = pieces.take<T>(queries);
  task.part = pieces.take<double>(task.parts() * entries);
  task.f = pieces.take<T>(entries);
  return task;
}

template <class T>
void find_coefficients(const CoefficientTask<T>& task, int64_t sets, bool own,
                       cudaStream_t stream) {
  const auto across = unsigned((task.columns + kCoefficientThreads - 1) / kCoefficientThreads);
  const dim3 threads(kCoefficientThreads);
  for (int64_t first = 0; first < sets; first += kMostSets) {
    const auto count = unsigned(std::min(kMostSets, sets - first));
    DRSL_LAUNCH(coefficient_rows<T>, dim3(unsigned(task.rows), 1, count), threads, 0, stream, task,
                unsigned(first));
    check_launch("coefficient_rows");
    DRSL_LAUNCH(angular_columns<T>, dim3(across, unsigned(task.parts()), count), threads, 0, stream,
                task, unsigned(first));
    check_launch("angular_columns");
    DRSL_LAUNCH(add_angular<T>, dim3(across, 1, count), threads, 0, stream, task, unsigned(first),
                own);
    check_launch("add_angular");
  }
}

// grad_x and grad_r in the accumulation type.
template <class E, class T = Accumulator<E>>
void compute(const Embeddings& e, CoefficientTask<T> task, const T* grad_distance,
             const T* grad_cosine, const T* distance, const T* cosine, Products products, T* grad_x,
             T* grad_r, cudaStream_t stream) {
  task.grad_distance = grad_distance, task.grad_cosine = grad_cosine;
  task.distance = distance, task.cosine = cosine;
  const E* const x = data<const E>(e.x);
  const E* const r = e.gallery ? data<const E>(*e.gallery) : x;
  measure(x, e.S * e.B, e.D, task.x, stream);
  if (e.gallery) measure(r, e.S * e.G, e.D, task.r, stream);
  find_coefficients(task, e.S, !e.gallery, stream);
  const Coefficients<E> c{e.S,
                          {x, task.x, e.B, e.D},
                          {r, task.r, e.G, e.D},
                          0,
                          e.B,
                          task.a,
                          task.ld,
                          task.near,
                          task.some,
                          products};
  if (!e.gallery) return redistribute_symmetric(c, task.f, grad_x, stream);  // e + f
  redistribute_queries(c, task.e, grad_x, false, stream);
  redistribute_gallery(c, task.f, grad_r, false, stream);
}

std::tuple<Tensor, Tensor> redistribute_op(Tensor grad_distance, Tensor grad_cosine,
                                           Tensor distance, Tensor cosine, Tensor x,
                                           std::optional<Tensor> gallery, bool tf32) {
  const Embeddings e(x, gallery, Device::kCuda);
  const DeviceScope scope(e.x);
  const Tensor d = checked_distance(distance, e), c = checked_matrix("cosine", cosine, d);
  const Tensor gd = checked_matrix("grad_distance", grad_distance, d);
  const Tensor gc = checked_matrix("grad_cosine", grad_cosine, d);
  const auto empty = [&](const std::vector<int64_t>& shape, ScalarType type) {
    return empty_beside(e.x, shape, type);
  };
  const ScalarType type = e.accumulation();
  Tensor grad_x = empty(e.shape({e.B, e.D}), type);
  Tensor grad_r = empty(e.gallery ? e.shape({e.G, e.D}) : std::vector<int64_t>{0}, type);
  dispatch(e.type(), [&](auto in, auto acc) {
    using T = decltype(acc);
    if (e.S == 0 || e.B == 0 || e.G == 0) {
      zero(grad_x, scope.stream), zero(grad_r, scope.stream);
      return;
    }
    Pieces sizes;
    lay_out<T>(e, sizes);
    const Tensor memory = empty({sizes.bytes()}, ScalarType::Byte);
    Pieces pieces(memory.mutable_data_ptr());
    compute<typename Stored<decltype(in)>::type>(
        e, lay_out<T>(e, pieces), data<const T>(gd), data<const T>(gc), data<const T>(d),
        data<const T>(c), tf32 ? Products::kTF32 : Products::kFloat32, data<T>(grad_x),
        e.gallery ? data<T>(grad_r) : nullptr, scope.stream);
  });
  if (type == e.type()) return {grad_x, grad_r};
  Tensor out_x = empty(e.shape({e.B, e.D}), e.type());
  Tensor out_r = empty(e.gallery ? e.shape({e.G, e.D}) : std::vector<int64_t>{0}, e.type());
  torch::stable::copy_(out_x, grad_x);
  torch::stable::copy_(out_r, grad_r);
  return {out_x, out_r};
}

}  // namespace

DRSL_CUDA_OPERATORS(m) { m.impl("redistribute", TORCH_BOX(&redistribute_op)); }

}  // namespace drsl
