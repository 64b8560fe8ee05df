#pragma once
// Distances and cosines of a small batch from sums over slices of dimensions (small_pairs.cuh). Results
// go where a Gram row's go (source_gram.cuh).
#include "cuda/source_gram.cuh"

namespace drsl::cuda {

// square and dot are [slices, sets, B, ld], slices so many numbers apart.
template <class T>
struct SmallTask : TurnTask<T> {
  const T *square, *dot;
  int slices;
  int64_t slice_size;
};

// Squares of differences below this have lost digits to the smallest numbers; above the largest, all.
template <class T>
constexpr T kSmallSquare = sizeof(T) == 4 ? T(1e-30) : T(1e-290);

template <class T>
class SmallSource : public GramSource<T> {
  using Base = GramSource<T>;

 public:
  using Task = SmallTask<T>;

  __device__ __forceinline__ SmallSource(const Task& task, int64_t row)
      : Base(task, row),
        square_(task.square + row * task.ld),
        dot_(task.dot + row * task.ld),
        slices_(task.slices),
        slice_size_(task.slice_size) {}

  __device__ __forceinline__ void prefetch(T* held) const {
    for_each_quad(this->padded(), [&](int k) {
      Quad<T> sum{};
      if (k < this->query.columns)  // nothing lies beyond
        for (int p = 0; p < slices_; ++p) {
          const auto part = *reinterpret_cast<const Quad<T>*>(square_ + p * slice_size_ + k);
#pragma unroll
          for (int e = 0; e < 4; ++e)
            if (k + e < this->query.columns) sum.at[e] += part.at[e];
        }
      *reinterpret_cast<Quad<T>*>(held + k) = sum;
    });
  }
  __device__ __forceinline__ void wait() const {}

  // d² → d, or 1 − cos. Nothing cancels here, but squares may leave the range of T.
  template <Measure kMeasure>
  __device__ __forceinline__ GramEntries<T> load(int k, const Quad<T>& square) const {
    GramEntries<T> entries{};
    bool special = this->special(k);
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const T d2 = square.at[e];
      const bool good = d2 >= kSmallSquare<T> && d2 <= kMost<T>;
      entries.near |= unsigned(!good) << e;
      if constexpr (kMeasure == Measure::kDistance) {
        entries.distance.at[e] = Base::root(d2);
      } else if (k + e < this->query.columns) {
        entries.near |= unsigned(!this->trusted(k + e)) << e;
        entries.distance.at[e] = this->from_cosine(product(k + e), k + e);
      }
    }
    if (__any_sync(kAllLanes, special || entries.near != 0))
      this->template mend<kMeasure>(k, entries);
    return entries;
  }

  // By a warp: every lane forms the same sum.
  __device__ __forceinline__ T cosine(int k) const {
    return this->trusted(k) ? this->cosine_of(product(k), k) : this->exact(k).cosine;
  }

 private:
  __device__ __forceinline__ T product(int k) const {
    T sum = 0;
    for (int p = 0; p < slices_; ++p) sum += dot_[p * slice_size_ + k];
    return sum;
  }

  const T *square_, *dot_;
  const int slices_;
  const int64_t slice_size_;
};

}  // namespace drsl::cuda
