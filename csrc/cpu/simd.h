#pragma once
// SIMD without intrinsics: vectors of the compiler, and functions compiled once per instruction set.
//
// DRSL_CLONES marks an entry point. The dynamic loader picks the clone for the machine; everything it calls
// that is always_inline (DRSL_HD, DRSL_INLINE) is compiled for the same set. Lambdas and plain calls are not.
#include <cstdint>
#include <cstring>

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(DRSL_NO_CLONES)
#define DRSL_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define DRSL_CLONES
#endif
#define DRSL_INLINE inline __attribute__((always_inline))
#define DRSL_LAMBDA __attribute__((always_inline))

namespace drsl {

// One cache line of T: two AVX-512, four AVX2 or eight SSE operations' worth is what a block of 64 columns has.
template <class T>
struct Simd {
  typedef T Vector __attribute__((vector_size(64)));
  static constexpr int kLanes = 64 / sizeof(T);
};

template <class T>
DRSL_INLINE typename Simd<T>::Vector load(const T* p) {
  typename Simd<T>::Vector v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
template <class T>
DRSL_INLINE void store(T* p, typename Simd<T>::Vector v) {
  std::memcpy(p, &v, sizeof v);
}

}  // namespace drsl
