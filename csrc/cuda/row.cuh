#pragma once
// What the rows of queries with few and with many positives share: a block a query, its columns in
// quads, 128 columns (a line) a warp at a time.
#include <cstdint>
#include <limits>

#include "core/positives.h"
#include "cuda/launch.h"
#include "cuda/stages.h"
#include "cuda/warp.cuh"

namespace drsl::cuda {

constexpr int kRowThreads = 256;
constexpr int kRowWarps = kRowThreads / 32;
constexpr int kFewPositives = 64;  // up to here FewRow, above ManyRow

template <class T>
constexpr T kInfinity = std::numeric_limits<T>::infinity();
// Below the smallest normal number a distance has no direction: its derivative is 0.
template <class T>
constexpr T kSmallest = std::numeric_limits<T>::min();
template <class T>
constexpr T kMost = std::numeric_limits<T>::max();
template <class T>
constexpr T kNaN = std::numeric_limits<T>::quiet_NaN();

// Columns [k, k + 4) of a thread.
template <class T>
struct alignas(16) Quad {
  T at[4];
};

// f(k) for every quad of a row of `padded` columns, a multiple of kLine. Warps stay together.
template <class F>
__device__ __forceinline__ void for_each_quad(int padded, F f) {
#pragma unroll 1
  for (int k = int(threadIdx.x) * 4; k < padded; k += kRowThreads * 4) f(k);
}

// A row's distances in memory of their own; +∞ for positives, left-out entries and padding.
template <class T>
struct HeldColumns {
  T* at;

  __device__ __forceinline__ Quad<T> get(int k) const {
    return *reinterpret_cast<const Quad<T>*>(at + k);
  }
  template <class Entries>
  __device__ __forceinline__ void put(int k, const Entries& entries) const {
    *reinterpret_cast<Quad<T>*>(at + k) = entries.distance;
  }
  __device__ __forceinline__ void store(int k, const Quad<T>& q) const {
    *reinterpret_cast<Quad<T>*>(at + k) = q;
  }
  // The distance of a positive, which is no negative any more.
  __device__ __forceinline__ T take(int k) const {
    const T d = at[k];
    at[k] = kInfinity<T>;
    return d;
  }
};

}  // namespace drsl::cuda
