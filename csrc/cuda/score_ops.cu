// The losses on scores on a GPU: checks, memory, one call for as many sets as fit.
#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "core/step.h"
#include "cuda/score_task.cuh"
#include "cuda/tensors.h"
#include "engine/score_tensors.h"

namespace drsl::cuda {
namespace {

constexpr int64_t kMostScores = std::numeric_limits<int32_t>::max() / 4;

template <class T>
T* part(const Tensor& t, bool there) {
  return there ? data<T>(t) : nullptr;
}

// The pointers of sets from `first` on.
template <class T>
ScoreTask<T> from_set(ScoreTask<T> task, int64_t first) {
  const auto move = [first](auto*& at, int64_t each) {
    if (at) at += first * each;
  };
  for (auto* each : {&task.scores, &task.targets}) move(*each, task.columns);
  for (auto* each : {&task.gradient, &task.sorting_gradient}) move(*each, task.columns);
  for (auto* each : {&task.ranking, &task.sorting}) move(*each, 1);
  move(task.regression, task.regressions);
  move(task.rank, task.regressions);
  move(task.order, task.regressions);
  return task;
}

template <class T>
void launch(ScoreTask<T> task, const ScoreTensors& p, double delta, cudaStream_t stream) {
  if (p.S == 0) return;
  constexpr int64_t kMostSets = 65535;  // of a grid's second dimension
  task.scores = data<const T>(p.scores);
  task.targets = data<const T>(p.targets);
  task.columns = p.N;
  task.delta = delta;
  task.slope = delta > 0 ? Ramp<double>(delta).slope : 0;
  // N numbers up to 1 add up to less than 2^63
  task.fixed = std::ldexp(1.0, std::min(52, 62 - std::ilogb(double(std::max<int64_t>(p.N, 1)))));
  const bool sorting = task.loss == ScoreLoss::kRankSort;
  Pieces counted;
  ScoreSpace<T>(p.N, sorting, counted);
  task.slab = counted.bytes();
  const int64_t together =
      std::min({p.S, kMostSets, std::max<int64_t>(1, kScoreMemory / task.slab)});
  const Tensor memory = empty_beside(p.scores, {together * task.slab}, ScalarType::Byte);
  Pieces pieces(memory.mutable_data_ptr());
  task.space = ScoreSpace<T>(p.N, sorting, pieces);
  for (int64_t first = 0; first < p.S; first += together)
    score_losses(from_set(task, first), std::min(together, p.S - first), stream);
}

std::tuple<Tensor, Tensor, Tensor, Tensor> rank_sort_loss_op(Tensor scores, Tensor targets,
                                                             double delta, bool grad, bool apart) {
  const ScoreTensors p(scores, targets, delta, Device::kCuda, kMostScores);
  const DeviceScope scope(p.scores);
  apart &= grad;
  const Tensor ranking = p.losses(), sorting = p.losses();
  const Tensor gradient = p.like(grad), sorting_gradient = p.like(apart);
  dispatch(p, [&](auto type) {
    using T = decltype(type);
    ScoreTask<T> task{};
    task.loss = ScoreLoss::kRankSort;
    task.ranking = data<T>(ranking), task.sorting = data<T>(sorting);
    task.gradient = part<T>(gradient, grad),
    task.sorting_gradient = part<T>(sorting_gradient, apart);
    launch(task, p, delta, scope.stream);
  });
  return {ranking, sorting, gradient, sorting_gradient};
}

std::tuple<Tensor, Tensor> ap_loss_op(Tensor scores, Tensor targets, double delta,
                                      bool interpolated, bool grad) {
  const ScoreTensors p(scores, targets, delta, Device::kCuda, kMostScores);
  const DeviceScope scope(p.scores);
  const Tensor loss = p.losses(), gradient = p.like(grad);
  dispatch(p, [&](auto type) {
    using T = decltype(type);
    ScoreTask<T> task{};
    task.loss = ScoreLoss::kAp;
    task.interpolated = interpolated;
    task.ranking = data<T>(loss), task.gradient = part<T>(gradient, grad);
    launch(task, p, delta, scope.stream);
  });
  return {loss, gradient};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> alrp_loss_op(Tensor scores, Tensor targets,
                                                        Tensor regression_losses, double delta,
                                                        bool grad) {
  const ScoreTensors p(scores, targets, delta, Device::kCuda, kMostScores);
  const DeviceScope scope(p.scores);
  const Tensor regression = p.regression(regression_losses);
  const int64_t each = regression.size(-1);
  const std::vector<int64_t> shape = p.sets ? std::vector{p.S, each} : std::vector{each};
  const Tensor loss = p.losses(), gradient = p.like(grad);
  const Tensor rank = empty_beside(p.scores, shape, p.type());
  const Tensor order = empty_beside(p.scores, shape, ScalarType::Long);
  zero(rank, scope.stream);
  if (order.numel() > 0)  // −1
    check(cudaMemsetAsync(order.mutable_data_ptr(), 0xff, size_t(order.numel()) * sizeof(int64_t),
                          scope.stream),
          "cudaMemsetAsync");
  dispatch(p, [&](auto type) {
    using T = decltype(type);
    ScoreTask<T> task{};
    task.loss = ScoreLoss::kAlrp;
    task.regression = data<const T>(regression), task.regressions = each;
    task.by_column = p.sets;
    task.ranking = data<T>(loss), task.gradient = part<T>(gradient, grad);
    task.rank = data<T>(rank), task.order = data<int64_t>(order);
    launch(task, p, delta, scope.stream);
  });
  return {loss, rank, order, gradient};
}

}  // namespace

DRSL_CUDA_OPERATORS(m) {
  m.impl("rank_sort_loss", TORCH_BOX(&rank_sort_loss_op));
  m.impl("ap_loss", TORCH_BOX(&ap_loss_op));
  m.impl("alrp_loss", TORCH_BOX(&alrp_loss_op));
}

}  // namespace drsl::cuda
