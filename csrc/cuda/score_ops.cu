// The losses on scores on a GPU: checks, memory, one call for as many sets as fit.
#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "core/step.h"
#include "cuda/score_task.cuh"
#include "cuda/tensors.h"

namespace drsl::cuda {
namespace {

// scores and targets [N] or [S, N], of one type, contiguous
struct Scores {
  Tensor scores, targets;
  bool sets;
  int64_t S, N;

  Scores(const Tensor& given, const Tensor& target, double delta)
      : scores(contiguous("scores", given)),
        targets(contiguous("targets", target)),
        sets(given.dim() == 2),
        S(sets ? given.size(0) : 1),
        N(given.dim() ? given.size(-1) : 0) {
    STD_TORCH_CHECK(lies(given, Place::kCuda) && (given.dim() == 1 || given.dim() == 2),
                    "drsl: scores must be [N] or [S, N] on the GPU");
    STD_TORCH_CHECK(same_shape(targets) && targets.scalar_type() == type(),
                    "drsl: targets must have the shape, dtype and device of scores");
    STD_TORCH_CHECK(type() == ScalarType::Float || type() == ScalarType::Double,
                    "drsl: scores must be float32 or float64");
    STD_TORCH_CHECK(N < std::numeric_limits<int32_t>::max() / 4, "drsl: too many scores: ", N);
    STD_TORCH_CHECK(delta >= 0 && delta <= std::numeric_limits<double>::max(),
                    "drsl: delta must be finite and >= 0, got ", delta);
  }

  ScalarType type() const { return scores.scalar_type(); }
  bool beside(const Tensor& t) const {
    return t.get_device_index() == scores.get_device_index() && t.is_cpu() == scores.is_cpu();
  }
  bool same_shape(const Tensor& t) const {
    bool same = beside(t) && t.dim() == scores.dim();
    for (int64_t i = 0; same && i < t.dim(); ++i) same = t.size(i) == scores.size(i);
    return same;
  }
  Tensor empty(std::vector<int64_t> shape, ScalarType of) const {
    return empty_beside(scores, shape, of);
  }
  // one number a set
  Tensor losses() const { return empty(sets ? std::vector{S} : std::vector<int64_t>{}, type()); }
  // a number a score, or nothing
  Tensor like(bool wanted) const {
    if (!wanted) return empty({0}, type());
    return empty(sets ? std::vector{S, N} : std::vector{N}, type());
  }
};

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
void launch(ScoreTask<T> task, const Scores& p, double delta, cudaStream_t stream) {
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
  const Tensor memory = p.empty({together * task.slab}, ScalarType::Byte);
  Pieces pieces(memory.mutable_data_ptr());
  task.space = ScoreSpace<T>(p.N, sorting, pieces);
  for (int64_t first = 0; first < p.S; first += together)
    score_losses(from_set(task, first), std::min(together, p.S - first), stream);
}

// f(ScoreTask<T>) for the type of the scores
template <class F>
void dispatch_scores(const Scores& p, F f) {
  if (p.type() == ScalarType::Double)
    f(double{});
  else
    f(float{});
}

std::tuple<Tensor, Tensor, Tensor, Tensor> rank_sort_loss_op(Tensor scores, Tensor targets,
                                                             double delta, bool grad, bool apart) {
  const Scores p(scores, targets, delta);
  const DeviceScope scope(p.scores);
  apart &= grad;
  const Tensor ranking = p.losses(), sorting = p.losses();
  const Tensor gradient = p.like(grad), sorting_gradient = p.like(apart);
  dispatch_scores(p, [&](auto type) {
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
  const Scores p(scores, targets, delta);
  const DeviceScope scope(p.scores);
  const Tensor loss = p.losses(), gradient = p.like(grad);
  dispatch_scores(p, [&](auto type) {
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
  const Scores p(scores, targets, delta);
  STD_TORCH_CHECK(
      p.beside(regression_losses) && regression_losses.scalar_type() == p.type() &&
          (p.sets ? p.same_shape(regression_losses) : regression_losses.dim() == 1),
      "drsl: regression_losses must be [n], or [S, N] as scores, in the dtype of scores");
  const DeviceScope scope(p.scores);
  const Tensor regression = contiguous("regression_losses", regression_losses);
  const int64_t each = regression.size(-1);
  const std::vector<int64_t> shape = p.sets ? std::vector{p.S, each} : std::vector{each};
  const Tensor loss = p.losses(), gradient = p.like(grad);
  const Tensor rank = p.empty(shape, p.type()), order = p.empty(shape, ScalarType::Long);
  zero(rank, scope.stream);
  if (order.numel() > 0)  // −1
    check(cudaMemsetAsync(order.mutable_data_ptr(), 0xff, size_t(order.numel()) * sizeof(int64_t),
                          scope.stream),
          "cudaMemsetAsync");
  dispatch_scores(p, [&](auto type) {
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
