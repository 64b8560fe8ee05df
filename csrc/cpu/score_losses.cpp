#include "cpu/score_losses.h"

#include <torch/csrc/stable/library.h>

#include <cmath>
#include <limits>

#include "cpu/simd.h"

namespace drsl {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

DRSL_CLONES void missorted_sums(MissortedSums& sums, double* missorted, double* missorted_error) {
  sums.sums(missorted, missorted_error);
}
DRSL_CLONES void spread_missorted(MissortedSums& sums, const double* weight, double* charge) {
  sums.spread(weight, charge);
}

}  // namespace

template <class T>
void ScoreLosses<T>::resize() {
  for (std::vector<double>* v :
       {&false_positives, &rank, &error, &missorted, &missorted_error, &weight, &own, &charge})
    v->resize(size_t(row.n()));
}

// Of a row that has no positive, or is not a row of numbers.
template <class T>
double ScoreLosses<T>::without_loss(T* gradient) const {
  if (gradient) row.n() ? row.write_nan(gradient) : row.write_zeros(gradient);
  return row.n() ? kNan : 0.0;
}

template <class T>
typename ScoreLosses<T>::RankSort ScoreLosses<T>::rank_sort(const T* scores, const T* targets,
                                                            T* gradient, T* sorting_gradient) {
  row.assign(scores, targets);
  if (row.n() == 0 || !row.usable()) {
    const double loss = without_loss(gradient);
    without_loss(sorting_gradient);
    return {loss, loss};
  }
  resize();
  const size_t n = size_t(row.n());
  const double mean = 1 / double(n);
  row.sum_negatives(false_positives.data());
  row.sum_positives(nullptr, rank.data());
  for (size_t i = 0; i < n; ++i) own[i] = 1 - row.target()[i];
  row.sum_positives(own.data(), error.data());
  sorted.assign(row.n(), row.score(), row.target(), row.delta(), row.slope());
  missorted_sums(sorted, missorted.data(), missorted_error.data());

  RankSort loss{0, 0};
  std::vector<double>& missorted_weight = missorted;
  std::vector<double>& sorting_own = missorted_error;
  for (size_t i = 0; i < n; ++i) {
    const auto ranking = ranking_share(false_positives[i], rank[i]);
    const auto sorting = sorting_share(rank[i], error[i], missorted[i], missorted_error[i]);
    loss.ranking += mean * ranking.error;
    loss.sorting += mean * sorting.error;
    weight[i] = mean * ranking.weight;
    own[i] = -mean * ranking.own;
    missorted_weight[i] = mean * sorting.weight;
    sorting_own[i] = -mean * sorting.own;
  }
  if (!gradient) return loss;
  spread_missorted(sorted, missorted_weight.data(), charge.data());
  for (size_t i = 0; i < n; ++i) {
    charge[i] += sorting_own[i];
    if (!sorting_gradient) own[i] += charge[i];
  }
  row.write_gradient(weight.data(), own.data(), gradient);
  if (sorting_gradient) row.write_positives(charge.data(), sorting_gradient);
  return loss;
}

template <class T>
double ScoreLosses<T>::ap(const T* scores, const T* targets, bool interpolated, T* gradient) {
  row.assign(scores, targets);
  if (row.n() == 0 || !row.usable()) return without_loss(gradient);
  resize();
  const size_t n = size_t(row.n());
  const double mean = 1 / double(n);
  row.sum_negatives(false_positives.data());
  row.sum_positives(nullptr, rank.data());
  double loss = 0, least = std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < n; ++i) {
    const double rank_positive = rank[i] + 1 - row.own();  // i itself counts as 1
    const auto share = ap_share(false_positives[i], rank_positive, least);
    if (interpolated) least = share.error;
    loss += mean * share.error;
    own[i] = -mean * share.own;
    weight[i] = mean * share.weight;
  }
  if (gradient) row.write_gradient(weight.data(), own.data(), gradient);
  return loss;
}

template <class T>
double ScoreLosses<T>::alrp(const T* scores, const T* targets, const T* regression,
                            int64_t regressions, bool columns, T* ranks, int64_t* order,
                            T* gradient) {
  row.assign(scores, targets);
  STD_TORCH_CHECK(columns || row.n() == regressions, "drsl: regression_losses must have ", row.n(),
                  " numbers, one for each positive, got ", regressions);
  // a row that is not usable has no order, and keeps that from left to right
  const auto place = [&](int i) {
    return columns ? row.column()[i] : row.usable() ? row.from_left()[i] : i;
  };
  for (int i = 0; i < row.n(); ++i) {
    order[i] = place(i);
    ranks[place(i)] = std::numeric_limits<T>::quiet_NaN();
  }
  if (row.n() == 0 || !row.usable()) return without_loss(gradient);
  resize();
  const size_t n = size_t(row.n());
  const double mean = 1 / double(n);
  row.sum_negatives(false_positives.data());
  row.sum_positives(nullptr, rank.data());
  bool finite = true;
  for (size_t i = 0; i < n; ++i) {
    error[i] = double(regression[place(int(i))]);
    finite &= std::isfinite(error[i]);
  }
  row.sum_positives(error.data(), charge.data());
  double loss = 0;
  for (size_t i = 0; i < n; ++i) {
    const double rank_positive = rank[i] + 1 - row.own();
    const double ahead = finite ? charge[i] - row.own() * error[i] : kNan;
    const auto share = alrp_share(false_positives[i], rank_positive, ahead);
    loss += mean * share.error;
    own[i] = -mean * share.own;
    weight[i] = mean * share.weight;
    ranks[place(int(i))] = T(rank_positive + false_positives[i]);
  }
  if (gradient) row.write_gradient(weight.data(), own.data(), gradient);
  return loss;
}

template struct ScoreLosses<float>;
template struct ScoreLosses<double>;

}  // namespace drsl
