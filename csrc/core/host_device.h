#pragma once
// The formulas in core/ are compiled three times from one text: by the C++ compiler for the
// CPU engine, by nvcc for the GPU, and by the C++ compiler again where kernels run on host
// threads in tests.
#if defined(__CUDACC__)
#define DRSL_HD __host__ __device__ __forceinline__
#else
#define DRSL_HD inline __attribute__((always_inline))
#endif
