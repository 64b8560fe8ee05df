// drsl::rank_sort on a GPU: checks, memory, one turn. Everything is queued, nothing waits.
#include <torch/csrc/stable/library.h>

#include <tuple>

#include "core/losses.h"
#include "cuda/selected.h"
#include "cuda/tensors.h"

namespace drsl::cuda {
namespace {

template <class T>
void launch(TurnDense<T> turn_of, const Tensor& like, const std::string& loss,
            const std::vector<double>& params, cudaStream_t stream) {
  const TurnDense<T>& t = turn_of;
  const int64_t bytes = turn_scratch_bytes(t.sets, t.rows, t.columns, sizeof(T));
  const Tensor scratch = empty_beside(like, {bytes}, ScalarType::Byte);
  turn_of.scratch = scratch.mutable_data_ptr();
  check(cudaMemsetAsync(turn_of.scratch, 0, kScratchZeros, stream), "cudaMemsetAsync");
  STD_TORCH_CHECK(turn(t, loss, params, stream), "drsl: no loss '", loss, "' with ", params.size(),
                  " parameters");
}

std::tuple<Tensor, Tensor, Tensor, Tensor> rank_sort_op(
    Tensor distance, Tensor cosine, Tensor labels, std::optional<Tensor> gallery_labels,
    std::optional<Tensor> self_index, std::optional<Tensor> exclude, std::string loss,
    std::vector<double> params) {
  STD_TORCH_CHECK(lies(distance, Device::kCuda) && (distance.dim() == 2 || distance.dim() == 3),
                  "drsl: distance must be [B, G] or [S, B, G] on the GPU");
  const ScalarType type = distance.scalar_type();
  STD_TORCH_CHECK(type == ScalarType::Float || type == ScalarType::Double,
                  "drsl: distance must be float32 or float64");
  const DeviceScope scope(distance);
  const Tensor d = contiguous("distance", distance), c = checked_matrix("cosine", cosine, d);
  const bool sets = d.dim() == 3;
  const int64_t S = sets ? d.size(0) : 1, B = d.size(-2), G = d.size(-1);
  constexpr int64_t most = std::numeric_limits<int32_t>::max();
  STD_TORCH_CHECK(B <= most && G <= most - kLine && (B == 0 || S <= most / B),
                  "drsl: at most 2^31 - 1 rows and columns, got ", S, " x ", B, " and ", G);
  Traits traits;
  STD_TORCH_CHECK(find_traits(loss, params, traits), "drsl: no loss '", loss, "' with ",
                  params.size(), " such parameters");
  const Selection selection(B, G, labels, gallery_labels, self_index, exclude, Device::kCuda);

  Selected selected = selection.get();
  selected.own_is_positive = traits.own_is_positive;

  const auto empty = [&](std::vector<int64_t> tail, ScalarType of) {
    if (sets) tail.insert(tail.begin(), S);
    return empty_beside(d, tail, of);
  };
  const Tensor losses = empty({B}, type), terms = empty({B, 3}, type);
  const Tensor grad_d = empty({B, G}, type), grad_c = empty({B, G}, type);
  const Tensor weighs = empty({B}, ScalarType::Int);
  dispatch(type, [&](auto, auto acc) {
    using T = decltype(acc);
    launch<T>({S, B, G, selected, data<const T>(d), data<const T>(c), data<T>(losses),
               data<T>(terms), data<T>(grad_d), data<T>(grad_c), data<int>(weighs), nullptr},
              d, loss, params, scope.stream);
  });
  return {losses, terms, grad_d, grad_c};
}

}  // namespace

DRSL_CUDA_OPERATORS(m) { m.impl("rank_sort", TORCH_BOX(&rank_sort_op)); }

}  // namespace drsl::cuda
