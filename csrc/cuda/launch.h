#pragma once
// One text of kernels, two ways to run them: nvcc compiles them for a GPU, a C++ compiler for host
// threads (tests/host), where DRSL_CUDA_ON_HOST is defined. Kernels and launches use nothing that
// only one of the two knows, but for the bodies in tile_ops.cuh.
#if defined(DRSL_CUDA_ON_HOST)
#include "cuda_on_host.h"
#define DRSL_LAUNCH(kernel, grid, block, shared, stream, ...) \
  cuda_on_host::launch(kernel, grid, block, shared, __VA_ARGS__)
#define DRSL_DYNAMIC_SHARED(T, name) T* const name = cuda_on_host::dynamic_shared<T>()
#else
#include <cuda_runtime.h>
#define DRSL_LAUNCH(kernel, grid, block, shared, stream, ...) \
  (kernel)<<<(grid), (block), (shared), (stream)>>>(__VA_ARGS__)
#define DRSL_DYNAMIC_SHARED(T, name)                       \
  extern __shared__ __align__(16) unsigned char name##_[]; \
  T* const name = reinterpret_cast<T*>(name##_)
#endif

// The kernels' operators register under CUDA; on host threads under a namespace of their own.
#if defined(DRSL_CUDA_ON_HOST)
#define DRSL_CUDA_OPERATORS(m) STABLE_TORCH_LIBRARY_IMPL(drsl_host, CPU, m)
#else
#define DRSL_CUDA_OPERATORS(m) STABLE_TORCH_LIBRARY_IMPL(drsl, CUDA, m)
#endif
