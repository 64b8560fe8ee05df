// drsl::rank_sort on a CPU: rows of given distances and cosines through the same policies as the
// fused pass.
#include <torch/csrc/stable/library.h>

#include <cmath>
#include <limits>

#include "core/losses.h"
#include "cpu/matrix_ops.h"
#include "cpu/parallel.h"
#include "cpu/row_each.h"
#include "cpu/row_smooth.h"
#include "cpu/row_sorted.h"

namespace drsl {
namespace {

constexpr int64_t kGrain = 1 << 14;  // entries a task should handle at least

template <class T>
struct RankSortTask {
  const T* distance;  // [B, G]
  const T* cosine;
  const Selection& selection;
  T* losses;
  T* terms;
  T* grad_distance;
  T* grad_cosine;
};

template <class T>
struct RankWorker {
  Row<T> row;
  Buffer<T> charges;  // [G, padded]

  RankWorker(int64_t padded, int64_t most_positives, bool smooth)
      : row(padded, most_positives, smooth), charges(padded) {}
};

template <class T, class Policy>
DRSL_INLINE void rank_row(const RankSortTask<T>& t, const Policy& policy, RankWorker<T>& worker,
                          int64_t q) {
  Row<T>& row = worker.row;
  constexpr T infinity = std::numeric_limits<T>::infinity();
  const Selection& selection = t.selection;
  const int64_t G = selection.columns, padded = (G + kChunk - 1) / kChunk * kChunk;
  const T* distance = t.distance + q * G;
  const T* cosine = t.cosine + q * G;
  T* grad_d = t.grad_distance + q * G;
  T* grad_c = t.grad_cosine + q * G;
  for (int64_t k = 0; k < G; ++k) grad_d[k] = grad_c[k] = 0;
  for (int k = 0; k < 3; ++k) t.terms[q * 3 + k] = 0;
  t.losses[q] = 0;
  const Selection::Counts counts = selection.count(q);
  if (policy.weight(counts.positives, counts.others) == 0) return;
  row.n = selection.positives(q, row.column.data());

  constexpr bool by_cosine = Policy::kMeasure == Measure::kCosine;
  T* d = row.distance.get();
  bool finite = true;
  for (int64_t k = 0; k < padded; ++k) {
    const bool left = k < G && selection.left(q, k);
    d[k] = !left ? infinity : by_cosine ? 1 - cosine[k] : distance[k];
    if (left) finite &= std::isfinite(distance[k]) && std::isfinite(cosine[k]);
  }
  if (!finite) {
    constexpr T nan = std::numeric_limits<T>::quiet_NaN();
    t.losses[q] = t.terms[q * 3] = t.terms[q * 3 + 1] = t.terms[q * 3 + 2] = nan;
    for (int64_t k = 0; k < G; ++k)
      if (selection.left(q, k)) grad_d[k] = grad_c[k] = nan;
    return;
  }
  for (size_t i = 0; i < size_t(row.n); ++i) {
    const auto k = row.column[i];
    row.d[i] = d[k];
    row.cosine[i] = double(cosine[k]);
    row.y[i] = T(0.5) + T(0.5) * cosine[k];
    d[k] = infinity;
  }
  row.begin(worker.charges.get());
  if constexpr (Policy::kWay == Way::kEach) {
    EachRow<T> each(row, padded, counts.others);
    policy(each);
  } else {
    row.prepare(Policy::kWay == Way::kRanks);
    policy(row);
  }
  for (int k = 0; k < 3; ++k) t.terms[q * 3 + k] = T(row.terms[k]);
  t.losses[q] = policy.total(T(row.terms[0]), T(row.terms[1]), T(row.terms[2]));
  T* const grad = by_cosine ? grad_c : grad_d;
  const T sign = by_cosine ? T(-1) : T(1);  // d is 1 − cos
  for (int64_t k = 0; k < G; ++k) grad[k] = -sign * row.spread[k];
  for (size_t i = 0; i < size_t(row.n); ++i) {
    grad[row.column[i]] = sign * row.grad_distance[i];
    if constexpr (Policy::kAngular == AngularAt::kPositives)
      grad_c[row.column[i]] = T(0.5) * row.grad_angle[i];  // y = (1 + cos) / 2
  }
}

#define DRSL_RANK(Policy)                                                            \
  DRSL_CLONES void rank(const RankSortTask<float>& t, const Policy<float>& policy,   \
                        RankWorker<float>& w, int64_t begin, int64_t end) {          \
    for (int64_t q = begin; q < end; ++q) rank_row(t, policy, w, q);                 \
  }                                                                                  \
  DRSL_CLONES void rank(const RankSortTask<double>& t, const Policy<double>& policy, \
                        RankWorker<double>& w, int64_t begin, int64_t end) {         \
    for (int64_t q = begin; q < end; ++q) rank_row(t, policy, w, q);                 \
  }
DRSL_FOR_EACH_POLICY(DRSL_RANK)
#undef DRSL_RANK

}  // namespace

template <class T>
void rank_sort(const T* distance, const T* cosine, Selection selection, int64_t rows,
               const std::string& loss, const std::vector<double>& params, T* losses, T* terms,
               T* grad_distance, T* grad_cosine) {
  const int64_t G = selection.columns, tasks = task_count(rows * G, kGrain);
  const RankSortTask<T> task{distance, cosine,        selection,  losses,
                             terms,    grad_distance, grad_cosine};
  const bool known = with_policy<T>(loss, params, [&](const auto& policy) {
    selection.own_is_positive = policy.own_is_positive;
    std::vector<RankWorker<T>> workers;
    for (int64_t t = 0; t < tasks; ++t)
      workers.emplace_back((G + kChunk - 1) / kChunk * kChunk, selection.most_positives(),
                           policy.kWay == Way::kSmoothRanks);
    for_tasks(tasks, rows, 1, [&](int64_t t, int64_t begin, int64_t end) {
      rank(task, policy, workers[size_t(t)], begin, end);
    });
  });
  STD_TORCH_CHECK(known, "drsl: no loss '", loss, "' with ", params.size(), " parameters");
}

template void rank_sort(const float*, const float*, Selection, int64_t, const std::string&,
                        const std::vector<double>&, float*, float*, float*, float*);
template void rank_sort(const double*, const double*, Selection, int64_t, const std::string&,
                        const std::vector<double>&, double*, double*, double*, double*);

}  // namespace drsl
