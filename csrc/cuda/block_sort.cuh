#pragma once
// Radix sort by one block of 256 threads, stable, ascending, linear in the number of keys; and the place
// of a number among sorted ones.
//
// A pass orders by 8 bits. Each warp looks after a run of neighbours: it counts how often it sees each
// of the 256 digits; from the counts follows where its first key of each digit goes; then it takes its
// keys 32 at a time, lanes with equal digits lining up behind one another.
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "cuda/warp.cuh"

namespace drsl::cuda {

// Unsigned numbers in the order of floating point ones; −0 and +0 are one. No NaN.
template <class T>
using KeyOf = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;

template <class T>
__device__ __forceinline__ KeyOf<T> key_of(T x) {
  using Key = KeyOf<T>;
  x += T(0);
  Key u;
  std::memcpy(&u, &x, sizeof u);
  constexpr Key sign = Key(1) << (8 * sizeof(Key) - 1);
  return u & sign ? Key(~u) : Key(u | sign);
}
template <class T>
__device__ __forceinline__ T number_of(KeyOf<T> u) {
  using Key = KeyOf<T>;
  constexpr Key sign = Key(1) << (8 * sizeof(Key) - 1);
  u = u & sign ? Key(u ^ sign) : Key(~u);
  T x;
  std::memcpy(&x, &u, sizeof x);
  return x;
}

constexpr int kSortThreads = 256;  // as many as digits
constexpr int kSortWarps = kSortThreads / 32;

struct SortShared {
  int32_t at[kSortWarps][kSortThreads];  // of each warp and digit
  int32_t part[kSortWarps];
};

// Keys, and items that move along.
template <class Key>
struct SortBuffer {
  Key* key;
  int32_t* item;
};

// The lanes among `lanes` whose digit is the caller's.
__device__ __forceinline__ unsigned lanes_alike(unsigned lanes, int digit) {
#pragma unroll
  for (int bit = 0; bit < 8; ++bit) {
    const bool set = digit & (1 << bit);
    const unsigned others = set ? 0u : ~0u;
    lanes &= __ballot_sync(kAllLanes, set) ^ others;
  }
  return lanes;
}

// Counts → where the keys of each warp and digit begin. False if all keys have the same digit.
__device__ __forceinline__ bool place_digits(int count, SortShared& s) {
  const int digit = int(threadIdx.x), lane = lane_index();
  int total = 0;
#pragma unroll
  for (int w = 0; w < kSortWarps; ++w) total += s.at[w][digit];
  if (__syncthreads_or(total == count)) return false;
  int upto = total;
#pragma unroll
  for (int lanes = 1; lanes < 32; lanes *= 2) {
    const int below = __shfl_up_sync(kAllLanes, upto, lanes);
    upto += lane >= lanes ? below : 0;
  }
  if (lane == 31) s.part[warp_index()] = upto;
  __syncthreads();
  int begin = upto - total;
  for (int w = 0; w < warp_index(); ++w) begin += s.part[w];
#pragma unroll
  for (int w = 0; w < kSortWarps; ++w) {
    const int own = s.at[w][digit];
    s.at[w][digit] = begin;
    begin += own;
  }
  __syncthreads();
  return true;
}

// Sorts what is in `from`, which is where it ends up too: the buffers are swapped as it moves to and
// fro. Begins and ends with a barrier.
template <bool kItems, class Key>
__device__ __forceinline__ void block_sort(int count, SortBuffer<Key>& from, SortBuffer<Key>& to,
                                           SortShared& s) {
  const int lane = lane_index(), warp = warp_index();
  const int run = (count + kSortThreads - 1) / kSortThreads * 32;
  const int first = min(warp * run, count), end = min(first + run, count);
#pragma unroll 1
  for (int shift = 0; shift < int(8 * sizeof(Key)); shift += 8) {
    __syncthreads();
    for (int w = 0; w < kSortWarps; ++w) s.at[w][threadIdx.x] = 0;
    __syncthreads();
    const Key* const key = from.key;
    for (int k = first + lane; k < end; k += 32)
      atomicAdd(&s.at[warp][int(key[k] >> shift & 255)], 1);
    __syncthreads();
    if (!place_digits(count, s)) continue;
#pragma unroll 1
    for (int base = first; base < end; base += 32) {
      const int k = base + lane;
      const Key own = k < end ? key[k] : Key(0);
      const int digit = int(own >> shift & 255);
      const unsigned alike = lanes_alike(__ballot_sync(kAllLanes, k < end), digit);
      const int before = __popc(alike & ((1u << lane) - 1)), at = s.at[warp][digit] + before;
      __syncwarp();
      if (k < end) {
        if (before == 0) s.at[warp][digit] = at + __popc(alike);
        to.key[at] = own;
        if constexpr (kItems) to.item[at] = from.item[k];
      }
      __syncwarp();
    }
    const SortBuffer<Key> sorted = to;
    to = from;
    from = sorted;
  }
  __syncthreads();
}

// In a row of n, `ahead` is true from the front up to some place and not from there on: that place.
template <class Ahead>
__device__ __forceinline__ int count_ahead(int n, Ahead ahead) {
  int first = 0;
#pragma unroll 1
  while (n > 0) {
    const int half = n / 2;
    const bool beyond = ahead(first + half);
    first = beyond ? first + half + 1 : first;
    n = beyond ? n - half - 1 : half;
  }
  return first;
}

}  // namespace drsl::cuda
