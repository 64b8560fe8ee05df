// The losses on scores on a CPU: tensors in, tensors out. What they compute is in score_losses.cpp.
#include <torch/csrc/stable/library.h>

#include <limits>
#include <tuple>

#include "cpu/score_losses.h"
#include "engine/score_tensors.h"

namespace drsl {
namespace {

constexpr int64_t kMostScores = std::numeric_limits<int32_t>::max() / 2;

template <class T>
T* data(const Tensor& t) {
  return static_cast<T*>(t.mutable_data_ptr());
}

// The numbers of set s; nullptr where there are none.
template <class T>
T* part(const Tensor& t, bool there, int64_t s, int64_t N) {
  return there ? data<T>(t) + s * N : nullptr;
}

std::tuple<Tensor, Tensor, Tensor, Tensor> rank_sort_loss_op(Tensor scores, Tensor targets,
                                                             double delta, bool grad, bool apart) {
  const ScoreTensors p(scores, targets, delta, Device::kCpu, kMostScores);
  apart &= grad;
  const Tensor ranking = p.losses(), sorting = p.losses();
  const Tensor gradient = p.like(grad), sorting_gradient = p.like(apart);
  dispatch(p, [&](auto type) {
    using T = decltype(type);
    ScoreLosses<T> losses(p.N, delta);
    for (int64_t s = 0; s < p.S; ++s) {
      const auto loss = losses.rank_sort(data<T>(p.scores) + s * p.N, data<T>(p.targets) + s * p.N,
                                         part<T>(gradient, grad, s, p.N),
                                         part<T>(sorting_gradient, apart, s, p.N));
      data<T>(ranking)[s] = T(loss.ranking);
      data<T>(sorting)[s] = T(loss.sorting);
    }
  });
  return {ranking, sorting, gradient, sorting_gradient};
}

std::tuple<Tensor, Tensor> ap_loss_op(Tensor scores, Tensor targets, double delta,
                                      bool interpolated, bool grad) {
  const ScoreTensors p(scores, targets, delta, Device::kCpu, kMostScores);
  const Tensor loss = p.losses(), gradient = p.like(grad);
  dispatch(p, [&](auto type) {
    using T = decltype(type);
    ScoreLosses<T> losses(p.N, delta);
    for (int64_t s = 0; s < p.S; ++s)
      data<T>(loss)[s] = T(losses.ap(data<T>(p.scores) + s * p.N, data<T>(p.targets) + s * p.N,
                                     interpolated, part<T>(gradient, grad, s, p.N)));
  });
  return {loss, gradient};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> alrp_loss_op(Tensor scores, Tensor targets,
                                                        Tensor regression_losses, double delta,
                                                        bool grad) {
  const ScoreTensors p(scores, targets, delta, Device::kCpu, kMostScores);
  const Tensor regression = p.regression(regression_losses);
  const int64_t each = regression.size(-1);
  const std::vector<int64_t> shape = p.sets ? std::vector{p.S, each} : std::vector{each};
  const Tensor loss = p.losses(), gradient = p.like(grad);
  const Tensor rank = empty(shape, p.type());
  const Tensor order = empty(shape, ScalarType::Long);
  dispatch(p, [&](auto type) {
    using T = decltype(type);
    std::fill_n(data<T>(rank), rank.numel(), T(0));
    std::fill_n(data<int64_t>(order), order.numel(), int64_t(-1));
    ScoreLosses<T> losses(p.N, delta);
    for (int64_t s = 0; s < p.S; ++s)
      data<T>(loss)[s] =
          T(losses.alrp(data<T>(p.scores) + s * p.N, data<T>(p.targets) + s * p.N,
                        data<T>(regression) + s * each, each, p.sets, data<T>(rank) + s * each,
                        data<int64_t>(order) + s * each, part<T>(gradient, grad, s, p.N)));
  });
  return {loss, rank, order, gradient};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(drsl, CPU, m) {
  m.impl("rank_sort_loss", TORCH_BOX(&rank_sort_loss_op));
  m.impl("ap_loss", TORCH_BOX(&ap_loss_op));
  m.impl("alrp_loss", TORCH_BOX(&alrp_loss_op));
}

}  // namespace drsl
