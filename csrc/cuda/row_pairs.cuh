#pragma once
// A query's row against the rows of the gallery, pair by pair: what is not taken from a Gram matrix.
//
// The type that embeddings are stored in matters here only, so it is known at run time and kernels that
// are built on this are compiled for T alone.
#include "cuda/element.cuh"
#include "cuda/near.cuh"
#include "cuda/row.cuh"
#include "cuda/stages.h"

namespace drsl::cuda {

enum class Element { kDouble, kFloat, kHalf, kBFloat16 };
template <class E>
constexpr Element kElement = sizeof(E) == 8                  ? Element::kDouble
                             : sizeof(E) == 4                ? Element::kFloat
                             : std::is_same_v<E, cuda::Half> ? Element::kHalf
                                                             : Element::kBFloat16;

template <class T>
struct TurnSide {
  const void* rows;  // [sets, count, dim] of Element
  const T *norm, *inverse, *norm2;
  int64_t count;
};

// Turn<E> without E.
template <class T>
struct TurnTask {
  int64_t sets, first, count, dim, ld;
  TurnSide<T> x, r;
  Element element;
  bool aligned;  // rows of x and r begin at multiples of 16 bytes
  Selected selected;
  const T* weight;
  bool counted, gradient;
  T *gram, *angular;
  AngularAt at;
  uint32_t* near;
  uint8_t* some;
  T *loss, *terms, *radial;
  int* weighs;

  __host__ __device__ int64_t row_count() const { return sets * count; }
};

// x·r, by a warp; the same order of additions for all rows of D numbers.
template <class T, class E>
__device__ __forceinline__ T dot(const E* x, const E* r, int64_t D, bool aligned) {
  T sum = 0;
#pragma unroll 2
  for (int64_t k = lane_index() * Pack<E>::kCount; k < D; k += 32 * Pack<E>::kCount) {
    const Pack<E> a = load_pack(x, k, D, aligned), b = load_pack(r, k, D, aligned);
#pragma unroll
    for (int i = 0; i < Pack<E>::kCount; ++i) sum += T(widen(a.at[i])) * T(widen(b.at[i]));
  }
  return warp_sum(sum);
}

template <class T>
class RowPairs {
 public:
  // Row `row` of [sets · count].
  __device__ __forceinline__ RowPairs(const TurnTask<T>& task, int64_t row)
      : t_(task),
        set_(uint32_t(row) / uint32_t(task.count)),  // 64 bits would be slow
        query_(task.first + uint32_t(row) % uint32_t(task.count)),
        x_at_(set_ * task.x.count + query_),
        r_at_(set_ * task.r.count) {}

  // Distance and cosine from the rows themselves, by a warp.
  __device__ __forceinline__ Pair<T> exact(int k) const {
    const T x_norm = t_.x.norm[x_at_], r_norm = t_.r.norm[r_at_ + k];
    Pair<T> pair{kNaN<T>, kNaN<T>};
    if (x_norm == x_norm && r_norm == r_norm)  // or there is nothing to add up
      with_rows(k, [&](auto* x, auto* r) {
        pair = exact_pair(x, x_norm, x_inverse(), r, r_norm, r_inverse(k), t_.dim);
      });
    return pair;
  }

  // x·r, by a warp.
  __device__ __forceinline__ T product(int k) const {
    T sum = 0;
    with_rows(k, [&](auto* x, auto* r) { sum = dot<T>(x, r, t_.dim, t_.aligned); });
    return sum;
  }
  __device__ __forceinline__ T cosine_of(T product, int k) const {
    return clamp_cosine(product * (x_inverse() * r_inverse(k)));
  }

  __device__ __forceinline__ T x_inverse() const { return t_.x.inverse[x_at_]; }
  __device__ __forceinline__ T r_inverse(int k) const { return t_.r.inverse[r_at_ + k]; }

 protected:
  const TurnTask<T>& t_;
  const int64_t set_, query_;  // which of the queries of its set
  const int64_t x_at_, r_at_;  // of [sets, B], of the first of [sets, G]

 private:
  // f(x row, r row) with pointers to what they are stored in.
  template <class F>
  __device__ __forceinline__ void with_rows(int k, F f) const {
    const int64_t x = x_at_ * t_.dim, r = (r_at_ + k) * t_.dim;
    const auto call = [&](auto* type) {
      f(static_cast<decltype(type)>(t_.x.rows) + x, static_cast<decltype(type)>(t_.r.rows) + r);
    };
    if constexpr (sizeof(T) == 8)
      call(static_cast<const double*>(nullptr));
    else if (t_.element == Element::kFloat)
      call(static_cast<const float*>(nullptr));
    else if (t_.element == Element::kHalf)
      call(static_cast<const Half*>(nullptr));
    else
      call(static_cast<const BFloat16*>(nullptr));
  }
};

}  // namespace drsl::cuda
