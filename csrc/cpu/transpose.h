#pragma once
// Square tiles turned in registers: log₂ steps of a butterfly, each swapping what lies `s` apart.
#include <utility>

#include "cpu/simd.h"

#if defined(__clang__) || __GNUC__ >= 12
#define DRSL_SHUFFLE(Int, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define DRSL_SHUFFLE(Int, a, b, ...) __builtin_shuffle(a, b, Int{__VA_ARGS__})
#endif

namespace drsl {

// Half a cache line: shuffles of this width exist wherever there is AVX.
template <class T>
struct Tile;

template <>
struct Tile<float> {
  static constexpr int kSide = 8;
  typedef float Row __attribute__((vector_size(32)));
  typedef int32_t Int __attribute__((vector_size(32)));

  static DRSL_INLINE void transpose(Row (&r)[kSide]) {
    for (int i = 0; i < 8; i += 2) {
      const Row a = r[i], b = r[i + 1];
      r[i] = DRSL_SHUFFLE(Int, a, b, 0, 8, 2, 10, 4, 12, 6, 14);
      r[i + 1] = DRSL_SHUFFLE(Int, a, b, 1, 9, 3, 11, 5, 13, 7, 15);
    }
    for (int i : {0, 1, 4, 5}) {
      const Row a = r[i], b = r[i + 2];
      r[i] = DRSL_SHUFFLE(Int, a, b, 0, 1, 8, 9, 4, 5, 12, 13);
      r[i + 2] = DRSL_SHUFFLE(Int, a, b, 2, 3, 10, 11, 6, 7, 14, 15);
    }
    for (int i = 0; i < 4; ++i) {
      const Row a = r[i], b = r[i + 4];
      r[i] = DRSL_SHUFFLE(Int, a, b, 0, 1, 2, 3, 8, 9, 10, 11);
      r[i + 4] = DRSL_SHUFFLE(Int, a, b, 4, 5, 6, 7, 12, 13, 14, 15);
    }
  }
};

template <>
struct Tile<double> {
  static constexpr int kSide = 4;
  typedef double Row __attribute__((vector_size(32)));
  typedef int64_t Int __attribute__((vector_size(32)));

  static DRSL_INLINE void transpose(Row (&r)[kSide]) {
    for (int i = 0; i < 4; i += 2) {
      const Row a = r[i], b = r[i + 1];
      r[i] = DRSL_SHUFFLE(Int, a, b, 0, 4, 2, 6);
      r[i + 1] = DRSL_SHUFFLE(Int, a, b, 1, 5, 3, 7);
    }
    for (int i = 0; i < 2; ++i) {
      const Row a = r[i], b = r[i + 2];
      r[i] = DRSL_SHUFFLE(Int, a, b, 0, 1, 4, 5);
      r[i + 2] = DRSL_SHUFFLE(Int, a, b, 2, 3, 6, 7);
    }
  }
};

// Reads the tile at `from` and hands its columns, in turn, to f(k, column).
template <class T, class F>
DRSL_INLINE void transposed_tile(const T* from, int64_t leading, F f) {
  typename Tile<T>::Row r[Tile<T>::kSide];
  for (int k = 0; k < Tile<T>::kSide; ++k) std::memcpy(&r[k], from + k * leading, sizeof r[k]);
  Tile<T>::transpose(r);
  for (int k = 0; k < Tile<T>::kSide; ++k) f(k, r[k]);
}

}  // namespace drsl
