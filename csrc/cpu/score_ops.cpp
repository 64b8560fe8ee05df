// The losses on scores on a CPU: tensors in, tensors out. What they compute is in score_losses.cpp.
#include <torch/csrc/stable/library.h>

#include <limits>
#include <tuple>

#include "cpu/score_losses.h"
#include "engine/tensors.h"

namespace drsl {
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
    STD_TORCH_CHECK(given.is_cpu() && (given.dim() == 1 || given.dim() == 2),
                    "drsl: scores must be [N] or [S, N] on the CPU");
    STD_TORCH_CHECK(same_shape(targets) && targets.scalar_type() == type(),
                    "drsl: targets must have the shape, dtype and device of scores");
    STD_TORCH_CHECK(type() == ScalarType::Float || type() == ScalarType::Double,
                    "drsl: scores must be float32 or float64");
    STD_TORCH_CHECK(N < std::numeric_limits<int32_t>::max() / 2, "drsl: too many scores: ", N);
    STD_TORCH_CHECK(delta >= 0 && delta <= std::numeric_limits<double>::max(),
                    "drsl: delta must be finite and >= 0, got ", delta);
  }

  ScalarType type() const { return scores.scalar_type(); }
  bool same_shape(const Tensor& t) const {
    bool same = t.is_cpu() && t.dim() == scores.dim();
    for (int64_t i = 0; same && i < t.dim(); ++i) same = t.size(i) == scores.size(i);
    return same;
  }
  // one number a set
  Tensor losses() const {
    return empty(sets ? std::vector<int64_t>{S} : std::vector<int64_t>{}, type());
  }
  // a number a score, or nothing
  Tensor like(bool wanted, std::optional<ScalarType> other = {}) const {
    const std::vector<int64_t> shape = sets ? std::vector{S, N} : std::vector{N};
    return empty(wanted ? shape : std::vector<int64_t>{0}, other.value_or(type()));
  }
};

template <class T>
T* data(const Tensor& t) {
  return static_cast<T*>(t.mutable_data_ptr());
}

// The numbers of set s; nullptr where there are none.
template <class T>
T* part(const Tensor& t, bool there, int64_t s, int64_t N) {
  return there ? data<T>(t) + s * N : nullptr;
}

template <class F>
void dispatch_scores(ScalarType type, F f) {
  return type == ScalarType::Double ? f(double{}) : f(float{});
}

std::tuple<Tensor, Tensor, Tensor, Tensor> rank_sort_loss_op(Tensor scores, Tensor targets,
                                                             double delta, bool grad, bool apart) {
  const Scores p(scores, targets, delta);
  apart &= grad;
  const Tensor ranking = p.losses(), sorting = p.losses();
  const Tensor gradient = p.like(grad), sorting_gradient = p.like(apart);
  dispatch_scores(p.type(), [&](auto type) {
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
  const Scores p(scores, targets, delta);
  const Tensor loss = p.losses(), gradient = p.like(grad);
  dispatch_scores(p.type(), [&](auto type) {
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
  const Scores p(scores, targets, delta);
  const Tensor regression = contiguous("regression_losses", regression_losses);
  STD_TORCH_CHECK(
      regression.is_cpu() && regression.scalar_type() == p.type() &&
          (p.sets ? p.same_shape(regression) : regression.dim() == 1),
      "drsl: regression_losses must be [n], or [S, N] as scores, in the dtype of scores");
  const int64_t each = regression.size(-1);
  const std::vector<int64_t> shape = p.sets ? std::vector{p.S, each} : std::vector{each};
  const Tensor loss = p.losses(), gradient = p.like(grad);
  const Tensor rank = empty(shape, p.type());
  const Tensor order = empty(shape, ScalarType::Long);
  dispatch_scores(p.type(), [&](auto type) {
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
