// The operators on a CPU: tensors in, tensors out. What they compute is in the files
// named like them.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "core/losses.h"
#include "cpu/embedding_loss.h"
#include "cpu/matrix_ops.h"
#include "cpu/parallel.h"
#include "engine/arguments.h"

namespace drsl {
namespace {

template <class T>
T* data(const Tensor& t) {
  return static_cast<T*>(t.mutable_data_ptr());
}
void zero(const Tensor& t) {
  if (t.numel() > 0) std::memset(t.mutable_data_ptr(), 0, size_t(t.numel() * t.element_size()));
}
template <class T>
const T* data(const std::optional<Tensor>& t) {
  return t ? static_cast<const T*>(t->const_data_ptr()) : nullptr;
}

std::tuple<Tensor, Tensor> pairwise_op(Tensor x, std::optional<Tensor> gallery, bool) {
  const Embeddings e(x, gallery);
  const Tensor distance = empty(e.shape({e.B, e.G}), e.accumulation());
  const Tensor cosine = empty(e.shape({e.B, e.G}), e.accumulation());
  dispatch(e.type(), [&](auto in, auto acc) {
    using In = decltype(in);
    using T = decltype(acc);
    for (int64_t s = 0; s < e.S && e.B && e.G; ++s) {
      Rows<T> rows, others;
      pack(data<In>(e.x) + s * e.B * e.D, e.B, e.D, false, rows,
           e.gallery ? data<In>(e.gallery) + s * e.G * e.D : nullptr, e.G, others);
      pairwise(rows, e.gallery ? others : rows, data<T>(distance) + s * e.B * e.G,
               data<T>(cosine) + s * e.B * e.G);
    }
  });
  return {distance, cosine};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> rank_sort_op(
    Tensor distance, Tensor cosine, Tensor labels, std::optional<Tensor> gallery_labels,
    std::optional<Tensor> self_index, std::optional<Tensor> exclude, std::string loss,
    std::vector<double> params) {
  STD_TORCH_CHECK(distance.is_cpu() && (distance.dim() == 2 || distance.dim() == 3),
                  "drsl: distance must be [B, G] or [S, B, G] on the CPU");
  const ScalarType type = distance.scalar_type();
  STD_TORCH_CHECK(type == ScalarType::Float || type == ScalarType::Double,
                  "drsl: distance must be float32 or float64");
  const Tensor d = contiguous("distance", distance), c = checked_matrix("cosine", cosine, distance);
  const bool sets = d.dim() == 3;
  const int64_t S = sets ? d.size(0) : 1, B = d.size(-2), G = d.size(-1);
  check_counts(B, G);
  Traits traits;
  STD_TORCH_CHECK(find_traits(loss, params, traits), "drsl: no loss '", loss, "' with ",
                  params.size(), " such parameters");
  if (exclude) exclude = contiguous("exclude", *exclude);
  const Selection selection = select(B, G, labels, gallery_labels, self_index, exclude);
  const auto shape = [&](std::vector<int64_t> tail) {
    if (sets) tail.insert(tail.begin(), S);
    return tail;
  };
  const Tensor losses = empty(shape({B}), type), terms = empty(shape({B, 3}), type);
  const Tensor grad_d = empty(shape({B, G}), type), grad_c = empty(shape({B, G}), type);
  dispatch(type, [&](auto, auto acc) {
    using T = decltype(acc);
    for (int64_t s = 0; s < S && B; ++s)
      rank_sort<T>(data<T>(d) + s * B * G, data<T>(c) + s * B * G, selection, B, loss, params,
                   data<T>(losses) + s * B, data<T>(terms) + s * B * 3, data<T>(grad_d) + s * B * G,
                   data<T>(grad_c) + s * B * G);
  });
  return {losses, terms, grad_d, grad_c};
}

std::tuple<Tensor, Tensor> redistribute_op(Tensor grad_distance, Tensor grad_cosine,
                                           Tensor distance, Tensor cosine, Tensor x,
                                           std::optional<Tensor> gallery, bool) {
  const Embeddings e(x, gallery);
  const Tensor d = checked_distance(distance, e), c = checked_matrix("cosine", cosine, d);
  const Tensor gd = checked_matrix("grad_distance", grad_distance, d);
  const Tensor gc = checked_matrix("grad_cosine", grad_cosine, d);
  const Tensor grad_x = empty(e.shape({e.B, e.D}), e.type());
  const Tensor grad_r = e.gallery ? empty(e.shape({e.G, e.D}), e.type()) : empty({0}, e.type());
  if (e.S == 0 || e.B == 0 || e.G == 0) {
    zero(grad_x), zero(grad_r);
    return {grad_x, grad_r};
  }
  dispatch(e.type(), [&](auto in, auto acc) {
    using In = decltype(in);
    using T = decltype(acc);
    for (int64_t s = 0; s < e.S; ++s) {
      const int64_t at = s * e.B * e.G;
      Rows<T> rows, others;
      pack(data<In>(e.x) + s * e.B * e.D, e.B, e.D, false, rows,
           e.gallery ? data<In>(e.gallery) + s * e.G * e.D : nullptr, e.G, others);
      GradientOutput<T, In> to_x(data<In>(grad_x) + s * e.B * e.D, e.B * e.D);
      GradientOutput<T, In> to_r(e.gallery ? data<In>(grad_r) + s * e.G * e.D : nullptr, e.G * e.D);
      redistribute(plan_cpu(e.problem(true)), data<T>(gd) + at, data<T>(gc) + at, data<T>(d) + at,
                   data<T>(c) + at, rows, e.gallery ? others : rows, to_x.get(),
                   e.gallery ? to_r.get() : to_x.get());
      to_x.finish();
      to_r.finish();
    }
  });
  return {grad_x, grad_r};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> embedding_loss_op(
    Tensor x, Tensor labels, std::optional<Tensor> gallery, std::optional<Tensor> gallery_labels,
    std::optional<Tensor> self_index, std::optional<Tensor> exclude,
    std::optional<Tensor> row_weight, std::string loss, std::vector<double> params, bool normalize,
    int64_t reduction, bool want_x, bool want_gallery, bool) {
  const Embeddings e(x, gallery);
  STD_TORCH_CHECK(reduction >= 0 && reduction <= 2, "drsl: reduction must be 0, 1 or 2");
  STD_TORCH_CHECK(bool(gallery) == bool(gallery_labels),
                  "drsl: gallery and gallery_labels go together");
  if (exclude) exclude = contiguous("exclude", *exclude);
  Selection selection = select(e.B, e.G, labels, gallery_labels, self_index, exclude);
  const ScalarType acc_type = e.accumulation();
  const bool each = Reduction(reduction) == Reduction::kNone;
  want_gallery &= bool(e.gallery);

  const size_t B = size_t(e.B);
  std::vector<Selection::Counts> counts(B);
  std::vector<double> counted(B);  // what a query weighs in a mean
  const bool known = with_policy<double>(loss, params, [&](const auto& policy) {
    selection.own_is_positive = policy.own_is_positive;
    for (size_t q = 0; q < B; ++q) {
      counts[q] = selection.count(int64_t(q));
      counted[q] = double(policy.weight(counts[q].positives, counts[q].others));
    }
  });
  STD_TORCH_CHECK(known, "drsl: no loss '", loss, "' with ", params.size(), " such parameters");
  const double counting = double(e.S) * std::accumulate(counted.begin(), counted.end(), 0.0);
  const double share =
      Reduction(reduction) == Reduction::kMean ? (counting > 0 ? 1 / counting : 0) : 1;

  const Tensor out = empty(each ? e.shape({e.B}) : std::vector<int64_t>{}, acc_type);
  const Tensor out_terms = empty(each ? e.shape({e.B, 3}) : std::vector<int64_t>{3}, acc_type);
  // In the accumulation type: they have yet to be multiplied by the derivative of what
  // follows the loss.
  const Tensor grad_x = want_x ? empty(e.shape({e.B, e.D}), acc_type) : empty({0}, acc_type);
  const Tensor grad_r = want_gallery ? empty(e.shape({e.G, e.D}), acc_type) : empty({0}, acc_type);

  const std::optional<Tensor> given = query_numbers("row_weight", row_weight, e);
  const Plan plan = plan_cpu(e.problem(want_x || want_gallery));
  if (plan.path == Path::kEmpty) {
    for (const Tensor& t : {out, out_terms, grad_x, grad_r}) zero(t);
    return {out, out_terms, grad_x, grad_r};
  }
  dispatch(e.type(), [&](auto in, auto acc) {
    using In = decltype(in);
    using T = decltype(acc);
    std::vector<double> losses(B), terms(3 * B), weight(B);
    for (size_t q = 0; q < B; ++q) weight[q] = each ? 1 : share * counted[q];
    double total[4] = {};
    for (int64_t s = 0; s < e.S; ++s) {
      if (given)
        for (size_t q = 0; q < B; ++q)
          weight[q] = share * double(data<T>(given)[size_t(s) * B + q]);
      T* const to_x = want_x ? data<T>(grad_x) + s * e.B * e.D : nullptr;
      T* const to_r = want_gallery ? data<T>(grad_r) + s * e.G * e.D : nullptr;
      Rows<T> rows, others;
      pack(data<In>(e.x) + s * e.B * e.D, e.B, e.D, normalize, rows,
           e.gallery ? data<In>(e.gallery) + s * e.G * e.D : nullptr, e.G, others);
      embedding_loss<T>(plan, loss, params,
                        {&rows, e.gallery ? &others : &rows, &selection, counts.data(),
                         weight.data(), normalize, losses.data(), terms.data(), to_x, to_r});
      for (size_t q = 0; q < B; ++q) {
        if (each) {
          data<T>(out)[size_t(s) * B + q] = T(losses[q]);
          for (size_t t = 0; t < 3; ++t)
            data<T>(out_terms)[(size_t(s) * B + q) * 3 + t] = T(terms[3 * q + t]);
        }
        total[0] += counted[q] * losses[q];
        for (size_t t = 0; t < 3; ++t) total[t + 1] += counted[q] * terms[3 * q + t];
      }
    }
    if (!each) {
      data<T>(out)[0] = T(total[0] * share);
      for (int t = 0; t < 3; ++t) data<T>(out_terms)[t] = T(total[t + 1] * share);
    }
  });
  return {out, out_terms, grad_x, grad_r};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(drsl, CPU, m) {
  m.impl("pairwise", TORCH_BOX(&pairwise_op));
  m.impl("rank_sort", TORCH_BOX(&rank_sort_op));
  m.impl("redistribute", TORCH_BOX(&redistribute_op));
  m.impl("embedding_loss", TORCH_BOX(&embedding_loss_op));
}

}  // namespace drsl
