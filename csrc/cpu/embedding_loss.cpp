#include "cpu/embedding_loss.h"

#include <torch/csrc/stable/library.h>

#include "cpu/gram_row.h"
#include "cpu/parallel.h"
#include "cpu/product.h"
#include "cpu/redistribute.h"
#include "cpu/transpose.h"

namespace drsl {
namespace {

constexpr int64_t kGrain = 1 << 14;  // Gram entries a task should turn at least

// One clone per instruction set, policy and type: the whole row, from Gram entries to coefficients.
#define DRSL_TURN(Policy)                                                                 \
  DRSL_CLONES void turn(const Problem<float>& p, const Policy<float>& policy,             \
                        Worker<float>& worker, int64_t begin, int64_t end, float* gram,   \
                        uint64_t* near) {                                                 \
    turn_rows(p, policy, worker, begin, end, gram, near);                                 \
  }                                                                                       \
  DRSL_CLONES void turn(const Problem<double>& p, const Policy<double>& policy,           \
                        Worker<double>& worker, int64_t begin, int64_t end, double* gram, \
                        uint64_t* near) {                                                 \
    turn_rows(p, policy, worker, begin, end, gram, near);                                 \
  }
DRSL_FOR_EACH_POLICY(DRSL_TURN)
#undef DRSL_TURN

// The Gram matrix right of a block goes, transposed, below it: rows that come later find their left
// part there. Whole tiles: both rows and leading are padded.
template <class T>
DRSL_INLINE void mirror_rows(T* gram, int64_t leading, int64_t begin, int64_t end, int64_t from,
                             int64_t to) {
  constexpr int64_t side = Tile<T>::kSide;
  for (int64_t j = from; j < to; j += side)
    for (int64_t i = begin; i < end; i += side)
      transposed_tile(gram + i * leading + j, leading, [=](int k, const auto& column) DRSL_LAMBDA {
        std::memcpy(gram + (j + k) * leading + i, &column, sizeof column);
      });
}
DRSL_CLONES void mirror(float* gram, int64_t leading, int64_t begin, int64_t end, int64_t from,
                        int64_t to) {
  mirror_rows(gram, leading, begin, end, from, to);
}
DRSL_CLONES void mirror(double* gram, int64_t leading, int64_t begin, int64_t end, int64_t from,
                        int64_t to) {
  mirror_rows(gram, leading, begin, end, from, to);
}

template <class T>
Matrix<T> operand(const Rows<T>& rows, int64_t first = 0) {
  return {rows.operand_row(first), rows.dim, 1};
}

template <class T, class Policy>
std::vector<Worker<T>> workers_for(const Plan& plan, const Problem<T>& p, const Policy&) {
  const int64_t rows = std::min(p.x->count, plan.block_rows);
  std::vector<Worker<T>> workers;
  for (int64_t t = task_count(rows * p.r->count, kGrain); t > 0; --t)
    workers.emplace_back(plan.leading, p.r->count, p.selection->most_positives(),
                         Policy::kWay == Way::kSmoothRanks, Policy::kMeasure == Measure::kCosine);
  return workers;
}

template <class T>
void add_f(const std::vector<Worker<T>>& workers, double* sum) {
  for (const Worker<T>& w : workers)
    for (size_t k = 0; k < w.f.size(); ++k) sum[k] += w.f[k];
}

template <class T, class Policy>
void triangle(const Plan& plan, Problem<T>& p, const Policy& policy, T* grad) {
  const Rows<T>& x = *p.x;
  const int64_t n = x.count, ld = plan.leading, words = ld / kChunk;
  const Buffer<T> gram((n + kChunk - 1) / kChunk * kChunk * ld);  // whole tiles
  const Buffer<uint64_t> near((n + kChunk - 1) / kChunk * kChunk * words);
  std::vector<Worker<T>> workers = workers_for(plan, p, policy);
  for (int64_t first = 0; first < n; first += plan.block_rows) {
    const int64_t rows = std::min(plan.block_rows, n - first), next = first + rows;
    product(operand(x, first), operand(x, first).transposed(), rows, n - first, x.dim,
            gram.get() + first * ld + first, ld, Into::kOverwrite);
    for_tasks(int64_t(workers.size()), rows, Tile<T>::kSide,
              [&](int64_t t, int64_t begin, int64_t end) {
                begin += first, end += first;
                mirror(gram.get(), ld, begin, end, next, n);
                turn(p, policy, workers[size_t(t)], begin, end, gram.get() + begin * ld,
                     near.get() + begin * words);
              });
  }
  if (!grad) return;
  add_f(workers, p.radial);
  const int64_t padded = (n + kChunk - 1) / kChunk * kChunk;
  std::fill(gram.get() + n * ld, gram.get() + padded * ld, T(0));
  std::fill(near.get() + n * words, near.get() + padded * words, uint64_t(0));
  redistribute_triangle<T>({gram.get(), near.get(), ld, p.normalize}, x, p.radial, grad);
  if (p.normalize) project(x, grad);
}

template <class T, class Policy>
void streaming(const Plan& plan, Problem<T>& p, const Policy& policy, T* grad_x, T* grad_r) {
  const Rows<T>&x = *p.x, &r = *p.r;
  const int64_t ld = plan.leading;
  const Buffer<T> gram(plan.block_rows * ld);
  const Buffer<uint64_t> near(plan.block_rows * (ld / kChunk));
  std::vector<Worker<T>> workers = workers_for(plan, p, policy);
  std::vector<double> column_sum(size_t(grad_r ? r.count : 0));
  for (T* grad : {grad_x, grad_r})
    if (grad) std::fill_n(grad, (grad == grad_x ? x.count : r.count) * x.dim, T(0));
  for (int64_t first = 0; first < x.count; first += plan.block_rows) {
    const int64_t rows = std::min(plan.block_rows, x.count - first);
    product(operand(x, first), operand(r).transposed(), rows, r.count, x.dim, gram.get(), ld,
            Into::kOverwrite);
    for_tasks(int64_t(workers.size()), rows, 1, [&](int64_t t, int64_t begin, int64_t end) {
      turn(p, policy, workers[size_t(t)], first + begin, first + end, gram.get() + begin * ld,
           near.get() + begin * (ld / kChunk));
    });
    if (p.gradient)
      redistribute_block<T>({gram.get(), near.get(), ld, p.normalize}, x, first, rows, r, p.radial,
                            grad_x, grad_r, column_sum.data());
  }
  if (grad_r) {
    std::vector<double> f(static_cast<size_t>(r.count));
    add_f(workers, f.data());
    finish_gallery(r, f.data(), column_sum.data(), grad_r);
    if (p.normalize) project(r, grad_r);
  }
  if (grad_x && grad_x != grad_r && p.normalize) project(x, grad_x);
}

}  // namespace

template <class T>
void embedding_loss(const Plan& plan, const std::string& loss, const std::vector<double>& params,
                    const LossTask<T>& task) {
  const Rows<T>& r = *task.r;
  std::vector<double> radial(static_cast<size_t>(task.x->count));
  Problem<T> p{};
  p.x = task.x;
  p.r = task.r;
  p.selection = task.selection;
  for (int64_t k = 0; r.any_bad && k < r.count; ++k)
    if (r.bad[size_t(k)]) p.bad_columns.push_back(int32_t(k));
  p.counts = task.counts;
  p.weight = task.weight;
  p.leading = plan.leading;
  p.normalize = task.normalize;
  p.gradient = task.grad_x || task.grad_r;
  p.loss = task.loss;
  p.terms = task.terms;
  p.radial = radial.data();
  const bool known = with_policy<T>(loss, params, [&](const auto& policy) {
    if (plan.path == Path::kTriangle)
      triangle(plan, p, policy, task.grad_x);
    else
      streaming(plan, p, policy, task.grad_x, task.x == task.r ? task.grad_x : task.grad_r);
  });
  STD_TORCH_CHECK(known, "drsl: no loss '", loss, "' with ", params.size(), " parameters");
}

template void embedding_loss(const Plan&, const std::string&, const std::vector<double>&,
                             const LossTask<float>&);
template void embedding_loss(const Plan&, const std::string&, const std::vector<double>&,
                             const LossTask<double>&);

}  // namespace drsl
