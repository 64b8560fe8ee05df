#pragma once
// Distances and cosines that are given, gradients with respect to them: drsl::rank_sort.
#include "cuda/query.cuh"
#include "cuda/row.cuh"

namespace drsl::cuda {

template <class T>
struct DenseTask : TurnDense<T> {
  bool aligned;  // rows begin at multiples of 16 bytes

  __host__ __device__ int64_t row_count() const { return this->sets * this->rows; }
};

template <class T>
struct DenseEntries {
  Quad<T> distance;  // +∞ for entries that are left out
  bool bad;          // a distance or cosine that counts is not finite
};

template <class T>
class DenseSource {
 public:
  using Number = T;
  using Task = DenseTask<T>;

  // Row `row` of [sets · rows].
  __device__ __forceinline__ DenseSource(const Task& task, int64_t row)
      : query(task.selected, uint32_t(row) % uint32_t(task.rows), task.columns),
        distance_(task.distance + row * task.columns),
        cosine_(task.cosine + row * task.columns),
        grad_distance_(task.grad_distance + row * task.columns),
        grad_cosine_(task.grad_cosine + row * task.columns),
        t_(task),
        row_(row) {}

  __device__ __forceinline__ bool gradient() const { return true; }
  __device__ __forceinline__ int own_column() const {
    return cuda::own_column(t_.selected, uint32_t(row_) % uint32_t(t_.rows), query.columns);
  }
  __device__ __forceinline__ int padded() const {
    return int((t_.columns + kLine - 1) / kLine * kLine);
  }

  __device__ __forceinline__ void prefetch(T* held) const {
    for_each_quad(padded(),
                  [&](int k) { *reinterpret_cast<Quad<T>*>(held + k) = read(distance_, k); });
  }
  __device__ __forceinline__ void wait() const {}
  __device__ __forceinline__ Quad<T> raw(int k) const { return read(distance_, k); }

  template <Measure kMeasure>
  __device__ __forceinline__ DenseEntries<T> load(int k, const Quad<T>& d) const {
    const Quad<T> cosine = read(cosine_, k);
    DenseEntries<T> entries{d, false};
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      if constexpr (kMeasure == Measure::kCosine) entries.distance.at[e] = 1 - cosine.at[e];
      if (query.compares(k + e))
        entries.bad |= !(finite(d.at[e]) && finite(cosine.at[e]));
      else
        entries.distance.at[e] = kInfinity<T>;
    }
    return entries;
  }

  // Columns that are not held lie where gradients are going to.
  __device__ __forceinline__ void put(int k, const DenseEntries<T>& entries) const {
    store(grad_distance_, k, entries.distance);
  }
  __device__ __forceinline__ Quad<T> get(int k) const {
    Quad<T> d = read(grad_distance_, k);
#pragma unroll
    for (int e = 0; e < 4; ++e)
      if (k + e >= query.columns) d.at[e] = kInfinity<T>;
    return d;
  }
  __device__ __forceinline__ T take(int k) const {
    grad_distance_[k] = kInfinity<T>;
    return distance_[k];
  }

  // Columns that are signed (turn_each.cuh) and not held are kept there too.
  struct Kept {
    const DenseSource& source;
    __device__ __forceinline__ Quad<T> get(int k) const { return source.get(k); }
    __device__ __forceinline__ void store(int k, const Quad<T>& q) const {
      source.store(source.grad_distance_, k, q);
    }
  };
  __device__ __forceinline__ Kept kept() const { return {*this}; }

  __device__ __forceinline__ void add_by_cosine(int k, const Quad<T>& gradient, bool first) const {
    Quad<T> g = gradient;
    if (!first) {
      const Quad<T> sum = read(grad_cosine_, k);
#pragma unroll
      for (int e = 0; e < 4; ++e) g.at[e] += sum.at[e];
    }
    store(grad_cosine_, k, g);
  }
  __device__ __forceinline__ void add_by_cosine(int k, T gradient) const {
    grad_cosine_[k] += gradient;
  }
  __device__ __forceinline__ void finish_by_cosine(int k) const {
    store(grad_distance_, k, Quad<T>{});
  }
  __device__ __forceinline__ void weigh(T) const {}

  __device__ __forceinline__ T cosine(int k) const { return cosine_[k]; }

  __device__ __forceinline__ void write(int k, const Quad<T>&, const Quad<T>& charge) const {
    Quad<T> gradient;
#pragma unroll
    for (int e = 0; e < 4; ++e) gradient.at[e] = -charge.at[e];
    store(grad_distance_, k, gradient);
    store(grad_cosine_, k, Quad<T>{});
  }
  __device__ __forceinline__ void write_tail() const {}
  __device__ __forceinline__ T write_positive(int k, T, T, T grad_distance, T grad_angle) const {
    grad_distance_[k] = grad_distance;
    grad_cosine_[k] = T(0.5) * grad_angle;  // y = (1 + cos) / 2
    return 0;
  }
  __device__ __forceinline__ void report(int weighs, T loss, T a, T b, T c, T) const {
    t_.loss[row_] = loss;
    t_.terms[3 * row_] = a;
    t_.terms[3 * row_ + 1] = b;
    t_.terms[3 * row_ + 2] = c;
    t_.weighs[row_] = weighs;
  }
  __device__ __forceinline__ void write_all(bool bad) const {
    for_each_quad(padded(), [&](int k) {
      Quad<T> value{};
#pragma unroll
      for (int e = 0; e < 4; ++e)
        if (bad && query.compares(k + e)) value.at[e] = kNaN<T>;
      store(grad_distance_, k, value);
      store(grad_cosine_, k, value);
    });
  }

  const Query query;

 private:
  const T *distance_, *cosine_;
  T *grad_distance_, *grad_cosine_;
  const Task& t_;
  const int64_t row_;

  static __device__ __forceinline__ bool finite(T x) { return x >= -kMost<T> && x <= kMost<T>; }

  __device__ __forceinline__ Quad<T> read(const T* row, int k) const {
    if (t_.aligned && k < query.columns) return *reinterpret_cast<const Quad<T>*>(row + k);
    Quad<T> q{};
#pragma unroll
    for (int e = 0; e < 4; ++e)
      if (k + e < query.columns) q.at[e] = row[k + e];
    return q;
  }
  __device__ __forceinline__ void store(T* row, int k, const Quad<T>& q) const {
    if (t_.aligned && k < query.columns) {
      *reinterpret_cast<Quad<T>*>(row + k) = q;
      return;
    }
#pragma unroll
    for (int e = 0; e < 4; ++e)
      if (k + e < query.columns) row[k + e] = q.at[e];
  }
};

}  // namespace drsl::cuda
