// drsl::embedding_loss on a GPU: the stages of stages.h, in memory or a block of queries at a time.
// Everything is queued on torch's current stream, nothing waits for it.
#include <algorithm>
#include <optional>
#include <tuple>

#include "core/losses.h"
#include "cuda/finish.cuh"
#include "cuda/plan.h"
#include "cuda/reduce.cuh"
#include "cuda/runtime.h"
#include "cuda/selected.h"
#include "cuda/stages.h"
#include "cuda/tensors.h"
#include "engine/arguments.h"

namespace drsl {
namespace {

using namespace cuda;

struct Loss {
  const std::string& name;
  const std::vector<double>& params;
  Traits traits;
};

// What the stages are handed for all sets: E is the type of the rows that they see.
template <class E>
struct Problem {
  using T = Accumulator<E>;
  const Shape& shape;
  const Plan& plan;
  const Workspace<T>& work;
  Side<E> x, r;
  Selected selected;
  const T* weight;  // [S, B] or null
  AngularAt angular;
  bool counted;  // queries weigh what they weigh in a mean, unless `weight` says otherwise
  Products products;
  cudaStream_t stream;
};

template <class E>
Side<E> set_of(Side<E> side, int64_t s) {
  const int64_t rows = s * side.count;
  side.rows += rows * side.dim;
  side.norms = {side.norms.norm + rows, side.norms.inverse + rows, side.norms.norm2 + rows};
  return side;
}

// Queries [first, first + count) of the sets [s, s + plan.sets), and where their results go.
template <class E>
Turn<E> describe(const Problem<E>& p, int64_t s, int64_t first, int64_t count) {
  const auto& work = p.work;
  Turn<E> t{};
  t.sets = std::min(p.plan.sets, p.shape.sets - s);
  t.x = set_of(p.x, s), t.r = set_of(p.r, s);
  t.first = first, t.count = count;
  t.selected = p.selected;
  t.weight = p.weight ? p.weight + s * p.shape.rows : nullptr;
  t.counted = p.counted && !p.weight;
  t.gradient = p.shape.gradient;
  t.gram = work.gram, t.ld = p.plan.leading, t.angular = work.angular, t.at = p.angular;
  t.near = work.near, t.some = work.some;
  const int64_t query = s * p.shape.rows;
  t.loss = work.loss + query, t.terms = work.terms + 3 * query;
  t.radial = work.radial + query, t.weighs = work.weighs + query;
  t.scratch = work.scratch;
  return t;
}

void require(bool known, const Loss& loss) {
  STD_TORCH_CHECK(known, "drsl: no loss '", loss.name, "' with ", loss.params.size(),
                  " parameters");
}

// Their Gram rows, turned.
template <class E>
Turn<E> turn_block(const Problem<E>& p, const Loss& loss, int64_t s, int64_t first, int64_t count,
                   bool symmetric) {
  const Turn<E> t = describe(p, s, first, count);
  gram(t.sets, t.x, first, count, t.r, symmetric, t.gram, t.ld, p.products, p.stream);
  require(turn(t, loss.name, loss.params, p.stream), loss);
  return t;
}

template <class E>
Coefficients<E> coefficients(const Problem<E>& p, const Turn<E>& t) {
  return {t.sets, t.x,    t.r,    t.first,    t.count,      t.gram,
          t.ld,   t.near, t.some, p.products, p.work.splits};
}

template <class E>
void in_memory(const Problem<E>& p, const Loss& loss, Accumulator<E>* grad) {
  for (int64_t s = 0; s < p.shape.sets; s += p.plan.sets) {
    const Turn<E> t = turn_block(p, loss, s, 0, p.shape.rows, true);
    if (!grad) continue;
    sum_angular(t, t.radial, true, p.work.partial, p.stream);  // e + f
    redistribute_symmetric(coefficients(p, t), t.radial, grad + s * p.shape.rows * p.shape.dim,
                           p.stream);
  }
}

// grad_x and grad_r may be one array: the batch against itself.
template <class E>
void streaming(const Problem<E>& p, const Loss& loss, Accumulator<E>* grad_x,
               Accumulator<E>* grad_r) {
  const Shape& shape = p.shape;
  for (int64_t s = 0; s < shape.sets; ++s) {
    auto* const to_x = grad_x ? grad_x + s * shape.rows * shape.dim : nullptr;
    auto* const to_r = grad_r ? grad_r + s * shape.columns * shape.dim : nullptr;
    for (int64_t first = 0; first < shape.rows; first += p.plan.block_rows) {
      const int64_t count = std::min(p.plan.block_rows, shape.rows - first);
      const Turn<E> t = turn_block(p, loss, s, first, count, false);
      if (to_r) {
        sum_angular(t, p.work.column_sum, false, p.work.partial, p.stream);
        const auto* const f = t.at == AngularAt::kPositives ? p.work.column_sum : nullptr;
        redistribute_gallery(coefficients(p, t), f, to_r, first > 0, p.stream);
      }
      // one array: the gallery's share has filled all of it by now
      if (to_x) redistribute_queries(coefficients(p, t), t.radial, to_x, to_x == to_r, p.stream);
    }
  }
}

// Loss, terms and share too.
template <class E>
void small(const Problem<E>& p, const Loss& loss, Reduction reduction, Reduced<Accumulator<E>> out,
           Accumulator<E>* grad) {
  const Slices slices(p.shape);
  const Small<E> small{describe(p, 0, 0, p.shape.rows),
                       slices.count,
                       slices.size,
                       p.work.square,
                       p.work.dot,
                       p.work.zeros,
                       reduction,
                       out};
  small_pairs(small, p.stream);
  require(small_turn(small, loss.name, loss.params, p.stream), loss);
  if (grad) small_product(small, grad, p.stream);
}

// What the operator returns; gradients are null where nobody asks.
template <class T>
struct Results {
  Reduced<T> reduced;
  T *grad_x, *grad_r;
};

// The stages, from rows whose norms are still to be measured on. Gradients are those of the sum over
// queries; small batches share them out on the way.
template <class E, class T = Accumulator<E>>
void run(const Problem<E>& p, const Loss& loss, Reduction reduction, const Results<T>& out) {
  const Shape& shape = p.shape;
  if (p.plan.path == Path::kSmall) {
    small(p, loss, reduction, out.reduced, out.grad_x);
  } else {
    measure(p.x.rows, shape.sets * shape.rows, shape.dim, p.x.norms, p.stream);
    if (!shape.self) measure(p.r.rows, shape.sets * shape.columns, shape.dim, p.r.norms, p.stream);
    check(cudaMemsetAsync(p.work.scratch, 0, kScratchZeros, p.stream), "cudaMemsetAsync");
    if (p.plan.path == Path::kInMemory)
      in_memory(p, loss, out.grad_x);
    else
      streaming(p, loss, out.grad_x, shape.self ? out.grad_x : out.grad_r);
  }
  if (p.plan.path != Path::kSmall || reduction == Reduction::kNone)
    reduce(reduction, shape.sets * shape.rows, p.work.loss, p.work.terms, p.work.weighs,
           out.reduced, p.stream);
}

// The way there and back: rows of unit length where asked for, and the share of a query.
template <class In, class T = Accumulator<In>>
void compute(Problem<In> p, const Loss& loss, bool normalised, Reduction reduction,
             const Results<T>& out) {
  const Shape& shape = p.shape;
  const int64_t queries = shape.sets * shape.rows, entries = shape.sets * shape.columns;
  if (normalised) {
    measure(p.x.rows, queries, shape.dim, p.x.norms, p.stream);
    normalise(p.x.rows, queries, shape.dim, p.x.norms, p.work.unit_x_rows, p.stream);
    const Side<T> x{p.work.unit_x_rows, p.work.unit_x, shape.rows, shape.dim};
    Side<T> r = x;
    if (!shape.self) {
      measure(p.r.rows, entries, shape.dim, p.r.norms, p.stream);
      normalise(p.r.rows, entries, shape.dim, p.r.norms, p.work.unit_r_rows, p.stream);
      r = {p.work.unit_r_rows, p.work.unit_r, shape.columns, shape.dim};
    }
    run<T>({shape, p.plan, p.work, x, r, p.selected, p.weight, p.angular, p.counted, p.products,
            p.stream},
           loss, reduction, out);
  } else {
    run<In>(p, loss, reduction, out);
  }
  const bool shared = p.plan.path == Path::kSmall || reduction != Reduction::kMean;
  const T* const share = shared ? nullptr : p.work.share;
  if (!share && !normalised) return;
  if (out.grad_x) finish(shape.sets, p.x, normalised, share, out.grad_x, out.grad_x, p.stream);
  if (out.grad_r) finish(shape.sets, p.r, normalised, share, out.grad_r, out.grad_r, p.stream);
}

std::tuple<Tensor, Tensor, Tensor, Tensor> embedding_loss_op(
    Tensor x, Tensor labels, std::optional<Tensor> gallery, std::optional<Tensor> gallery_labels,
    std::optional<Tensor> self_index, std::optional<Tensor> exclude,
    std::optional<Tensor> row_weight, std::string loss, std::vector<double> params, bool normalize,
    int64_t reduction, bool want_x, bool want_gallery, bool tf32) {
  const Embeddings e(x, gallery, Device::kCuda);
  STD_TORCH_CHECK(reduction >= 0 && reduction <= 2, "drsl: reduction must be 0, 1 or 2");
  STD_TORCH_CHECK(bool(gallery) == bool(gallery_labels),
                  "drsl: gallery and gallery_labels go together");
  Loss named{loss, params, {}};
  require(find_traits(loss, params, named.traits), named);
  const DeviceScope scope(e.x);
  const cuda::Selection selection(e.B, e.G, labels, gallery_labels, self_index, exclude,
                                  Device::kCuda);
  const ScalarType type = e.accumulation();
  const std::optional<Tensor> weight = query_numbers("row_weight", row_weight, e);
  const bool each = Reduction(reduction) == Reduction::kNone;
  want_gallery &= bool(e.gallery);

  const auto empty = [&](const std::vector<int64_t>& shape, ScalarType of) {
    return empty_beside(e.x, shape, of);
  };
  const Tensor out = empty(each ? e.shape({e.B}) : std::vector<int64_t>{}, type);
  const Tensor out_terms = empty(each ? e.shape({e.B, 3}) : std::vector<int64_t>{3}, type);
  const Tensor grad_x = empty(want_x ? e.shape({e.B, e.D}) : std::vector<int64_t>{0}, type);
  const Tensor grad_r = empty(want_gallery ? e.shape({e.G, e.D}) : std::vector<int64_t>{0}, type);

  // Cosines are those of rows of unit length. That way no scale of the rows leaves the range of T.
  const bool normalised = normalize || named.traits.angular == AngularAt::kEverywhere;
  const Shape shape = e.problem(want_x || want_gallery);
  const Plan plan = plan_cuda(shape, normalised);
  if (plan.path == Path::kEmpty) {
    for (const Tensor& t : {out, out_terms, grad_x, grad_r}) zero(t, scope.stream);
    return {out, out_terms, grad_x, grad_r};
  }
  Selected selected = selection.get();
  selected.own_is_positive = named.traits.own_is_positive;
  const Tensor memory = empty({plan.workspace_bytes}, ScalarType::Byte);
  dispatch(e.type(), [&](auto in, auto acc) {
    using In = typename Stored<decltype(in)>::type;
    using T = decltype(acc);
    Pieces pieces(memory.mutable_data_ptr());
    const Workspace<T> work(shape, plan, normalised, pieces);
    const Side<In> x_side{data<const In>(e.x), work.x, e.B, e.D};
    const Side<In> r_side =
        e.gallery ? Side<In>{data<const In>(*e.gallery), work.r, e.G, e.D} : x_side;
    const Problem<In> problem{shape,
                              plan,
                              work,
                              x_side,
                              r_side,
                              selected,
                              weight ? data<const T>(*weight) : nullptr,
                              named.traits.angular,
                              !each,
                              tf32 ? Products::kTF32 : Products::kFloat32,
                              scope.stream};
    compute(problem, named, normalised, Reduction(reduction),
            Results<T>{{data<T>(out), data<T>(out_terms), work.share},
                       want_x ? data<T>(grad_x) : nullptr,
                       want_gallery ? data<T>(grad_r) : nullptr});
  });
  return {out, out_terms, grad_x, grad_r};
}

}  // namespace

DRSL_CUDA_OPERATORS(m) { m.impl("embedding_loss", TORCH_BOX(&embedding_loss_op)); }

}  // namespace drsl
