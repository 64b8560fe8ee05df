// drsl::redistribute on a CPU: any ∂/∂d and ∂/∂cos become coefficients A a block at a time,
// and A gradients.
#include "cpu/matrix_ops.h"
#include "cpu/near.h"
#include "cpu/parallel.h"
#include "cpu/redistribute.h"

namespace drsl {
namespace {

constexpr int64_t kGrain = 1 << 14;  // entries a task should handle at least

template <class T>
struct MatrixTask {
  const T* grad_distance;  // [B, G]
  const T* grad_cosine;
  const T* distance;
  const T* cosine;
  const Rows<T>& x;
  const Rows<T>& r;
  int64_t leading;
  double* e;  // [B]
};

// Rows [begin, end): A to `a`, flags of near pairs to `near`; their part of f_k is added to `f`.
template <class T>
void coefficients(const MatrixTask<T>& t, int64_t begin, int64_t end, T* a, uint64_t* near,
                  double* f) {
  const int64_t G = t.r.count, words = t.leading / 64;
  const double unit = t.x.unit;
  for (int64_t q = begin; q < end; ++q, a += t.leading, near += words) {
    for (int64_t w = 0; w < words; ++w) near[w] = 0;
    const double ix = t.x.inv_norm[size_t(q)];
    double e = 0;
    for (int64_t k = 0; k < G; ++k) {
      const double gd = double(t.grad_distance[q * G + k]),
                   gc = double(t.grad_cosine[q * G + k]) / unit;
      const double d = double(t.distance[q * G + k]), cosine = double(t.cosine[q * G + k]);
      const double ir = t.r.inv_norm[size_t(k)];
      // Where nothing is passed on, nothing is computed: d may be NaN there.
      double s = gd == 0 || d < double(kSmallest<T>) ? 0.0 : -gd / (d / unit);
      if (gc != 0) {
        s += gc * ix * ir;
        e += gc * ix * (ir - cosine * ix);
        f[k] += gc * ir * (ix - cosine * ir);
      }
      a[k] = T(s);
      const T both = t.x.norm2[size_t(q)] + t.r.norm2[size_t(k)];
      if (!(T(d / unit * (d / unit)) > kNear<T> * both)) near[k / 64] |= uint64_t(1) << (k % 64);
    }
    t.e[q] = e;
  }
}

}  // namespace

template <class T>
void redistribute(const Plan& plan, const T* grad_distance, const T* grad_cosine, const T* distance,
                  const T* cosine, const Rows<T>& x, const Rows<T>& r, T* grad_x, T* grad_r) {
  for (T* grad : {grad_x, grad_r})
    std::fill_n(grad, (grad == grad_x ? x.count : r.count) * x.dim, T(0));
  if (plan.path == Path::kEmpty) return;
  const int64_t ld = plan.leading, words = ld / 64, block = plan.block_rows;
  const int64_t tasks = task_count(std::min(x.count, block) * r.count, kGrain);
  const Buffer<T> a(block * ld);
  const Buffer<uint64_t> near(block * words);
  std::vector<double> e(size_t(x.count)), f(size_t(r.count)), part(size_t(tasks * r.count)),
      sum(size_t(r.count));
  const MatrixTask<T> task{grad_distance, grad_cosine, distance, cosine, x, r, ld, e.data()};
  for (int64_t first = 0; first < x.count; first += block) {
    const int64_t rows = std::min(block, x.count - first);
    for_tasks(tasks, rows, 1, [&](int64_t t, int64_t begin, int64_t end) {
      coefficients(task, first + begin, first + end, a.get() + begin * ld,
                   near.get() + begin * words, part.data() + t * r.count);
    });
    redistribute_block<T>({a.get(), near.get(), ld, false}, x, first, rows, r, e.data(), grad_x,
                          grad_r, sum.data());
  }
  for (int64_t t = 0; t < tasks; ++t)
    for (int64_t k = 0; k < r.count; ++k) f[size_t(k)] += part[size_t(t * r.count + k)];
  finish_gallery(r, f.data(), sum.data(), grad_r);
}

template void redistribute(const Plan&, const float*, const float*, const float*, const float*,
                           const Rows<float>&, const Rows<float>&, float*, float*);
template void redistribute(const Plan&, const double*, const double*, const double*, const double*,
                           const Rows<double>&, const Rows<double>&, double*, double*);

}  // namespace drsl
