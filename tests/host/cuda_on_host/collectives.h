#pragma once
// Barriers of blocks, collectives of warps.
#include <bit>
#include <source_location>
#include <type_traits>

#include "cuda_on_host/scheduler.h"

namespace cuda_on_host {

// What __shfl_sync takes as it is; smaller numbers go as int.
template <class T>
using Exchanged = std::conditional_t<sizeof(T) < 4, int, T>;

template <class T>
T exchange(const char* name, unsigned mask, T value, unsigned source, const Where& where) {
  static_assert(std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8));
  Block& block = this_block();
  Call& call = block.thread().call;
  std::memcpy(call.value, &value, sizeof(T));
  call.source = source;
  block.collective(Call::Kind::kShuffle, name, mask, where);
  std::memcpy(&value, call.result, sizeof(T));
  return value;
}

inline unsigned vote(const char* name, unsigned mask, bool yes, const Where& where) {
  Block& block = this_block();
  Call& call = block.thread().call;
  call.value[0] = yes;
  block.collective(Call::Kind::kVote, name, mask, where);
  unsigned votes;
  std::memcpy(&votes, call.result, sizeof votes);
  return votes;
}

// all[i]: lane i's value, for the lanes that take part; what matrix instructions are made of.
template <class T>
void gather(const char* name, unsigned mask, const T& value, T (&all)[32],
            const Where& where = Where::current()) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= Call::kBytes);
  Block& block = this_block();
  Call& call = block.thread().call;
  unsigned char values[32][Call::kBytes];
  std::memcpy(call.value, &value, sizeof(T));
  call.all = values;
  block.collective(Call::Kind::kGather, name, mask, where);
  for (uint32_t left = call.mask; left; left &= left - 1)
    std::memcpy(&all[std::countr_zero(left)], values[std::countr_zero(left)], sizeof(T));
}

template <class T, class F>
T fold(const char* name, unsigned mask, T value, F f, const Where& where) {
  T all[32];
  gather(name, mask, value, all, where);
  mask &= this_block().exist();
  T sum = all[std::countr_zero(mask)];
  for (uint32_t left = mask & (mask - 1); left; left &= left - 1)
    sum = f(sum, all[std::countr_zero(left)]);
  return sum;
}

}  // namespace cuda_on_host

#define CUDA_ON_HOST_WHERE const std::source_location& where = std::source_location::current()

inline void __syncthreads(CUDA_ON_HOST_WHERE) { cuda_on_host::this_block().barrier(false, where); }
inline int __syncthreads_count(int predicate, CUDA_ON_HOST_WHERE) {
  cuda_on_host::this_block().barrier(predicate != 0, where);
  return int(cuda_on_host::this_block().predicates());
}
inline int __syncthreads_or(int predicate, CUDA_ON_HOST_WHERE) {
  return __syncthreads_count(predicate, where) != 0;
}
inline int __syncthreads_and(int predicate, CUDA_ON_HOST_WHERE) {
  return __syncthreads_count(predicate, where) == int(cuda_on_host::this_block().count());
}

inline void __syncwarp(unsigned mask = 0xffffffffu, CUDA_ON_HOST_WHERE) {
  using namespace cuda_on_host;
  this_block().collective(Call::Kind::kBarrier, "__syncwarp", mask, where);
}
inline unsigned __activemask() { return cuda_on_host::this_block().alive(); }

inline unsigned __ballot_sync(unsigned mask, int predicate, CUDA_ON_HOST_WHERE) {
  return cuda_on_host::vote("__ballot_sync", mask, predicate != 0, where);
}
inline int __any_sync(unsigned mask, int predicate, CUDA_ON_HOST_WHERE) {
  return cuda_on_host::vote("__any_sync", mask, predicate != 0, where) != 0;
}
inline int __all_sync(unsigned mask, int predicate, CUDA_ON_HOST_WHERE) {
  return cuda_on_host::vote("__all_sync", mask, predicate == 0, where) == 0;
}

// Lanes [l − l % width, + width) are a group of their own. Who would read beyond it gets its own value.
template <class T>
cuda_on_host::Exchanged<T> __shfl_sync(unsigned mask, T value, int source, int width = 32,
                                       CUDA_ON_HOST_WHERE) {
  const unsigned first = cuda_on_host::lane() & ~unsigned(width - 1);
  return cuda_on_host::exchange<cuda_on_host::Exchanged<T>>(
      "__shfl_sync", mask, value, first | (unsigned(source) & unsigned(width - 1)), where);
}
template <class T>
cuda_on_host::Exchanged<T> __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32,
                                           CUDA_ON_HOST_WHERE) {
  const unsigned lane = cuda_on_host::lane(), source = lane ^ unsigned(lanes);
  return cuda_on_host::exchange<cuda_on_host::Exchanged<T>>(
      "__shfl_xor_sync", mask, value, source > (lane | unsigned(width - 1)) ? lane : source, where);
}
template <class T>
cuda_on_host::Exchanged<T> __shfl_down_sync(unsigned mask, T value, unsigned lanes, int width = 32,
                                            CUDA_ON_HOST_WHERE) {
  const unsigned lane = cuda_on_host::lane(), source = lane + lanes;
  return cuda_on_host::exchange<cuda_on_host::Exchanged<T>>(
      "__shfl_down_sync", mask, value, source > (lane | unsigned(width - 1)) ? lane : source,
      where);
}
template <class T>
cuda_on_host::Exchanged<T> __shfl_up_sync(unsigned mask, T value, unsigned lanes, int width = 32,
                                          CUDA_ON_HOST_WHERE) {
  const unsigned lane = cuda_on_host::lane(), place = lane & unsigned(width - 1);
  return cuda_on_host::exchange<cuda_on_host::Exchanged<T>>(
      "__shfl_up_sync", mask, value, place < lanes ? lane : lane - lanes, where);
}

template <class T>
T __reduce_add_sync(unsigned mask, T value, CUDA_ON_HOST_WHERE) {
  static_assert(std::is_same_v<T, int> || std::is_same_v<T, unsigned>);
  const auto add = [](T a, T b) { return T(unsigned(a) + unsigned(b)); };
  return cuda_on_host::fold("__reduce_add_sync", mask, value, add, where);
}
template <class T>
T __reduce_min_sync(unsigned mask, T value, CUDA_ON_HOST_WHERE) {
  static_assert(std::is_same_v<T, int> || std::is_same_v<T, unsigned>);
  const auto least = [](T a, T b) { return a < b ? a : b; };
  return cuda_on_host::fold("__reduce_min_sync", mask, value, least, where);
}
template <class T>
T __reduce_max_sync(unsigned mask, T value, CUDA_ON_HOST_WHERE) {
  static_assert(std::is_same_v<T, int> || std::is_same_v<T, unsigned>);
  const auto most = [](T a, T b) { return a < b ? b : a; };
  return cuda_on_host::fold("__reduce_max_sync", mask, value, most, where);
}
inline unsigned __reduce_or_sync(unsigned mask, unsigned value, CUDA_ON_HOST_WHERE) {
  const auto both = [](unsigned a, unsigned b) { return a | b; };
  return cuda_on_host::fold("__reduce_or_sync", mask, value, both, where);
}
template <class T>
unsigned __match_any_sync(unsigned mask, T value, CUDA_ON_HOST_WHERE) {
  static_assert(std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8));
  T all[32];
  cuda_on_host::gather("__match_any_sync", mask, value, all, where);
  mask &= cuda_on_host::this_block().exist();
  unsigned equal = 0;
  for (unsigned i = 0; i < 32; ++i)
    if (mask >> i & 1) equal |= unsigned(std::memcmp(&all[i], &value, sizeof(T)) == 0) << i;
  return equal;
}

#undef CUDA_ON_HOST_WHERE
