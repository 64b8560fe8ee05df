#pragma once
// Words of the language and its small vectors, laid out and aligned as on the device.
#include <cstdint>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __shared__ static thread_local  // a host thread runs one block at a time
#define __constant__ static
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) alignas(n)

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
  constexpr operator uint3() const { return {x, y, z}; }
};

namespace cuda_on_host {

template <class T>
struct alignas(2 * sizeof(T)) Vector2 {
  T x, y;
};
template <class T>
struct alignas(sizeof(T) < 8 ? 4 * sizeof(T) : 16) Vector4 {
  T x, y, z, w;
};

}  // namespace cuda_on_host

using int2 = cuda_on_host::Vector2<int>;
using uint2 = cuda_on_host::Vector2<unsigned>;
using float2 = cuda_on_host::Vector2<float>;
using double2 = cuda_on_host::Vector2<double>;
using longlong2 = cuda_on_host::Vector2<long long>;
using ulonglong2 = cuda_on_host::Vector2<unsigned long long>;
using int4 = cuda_on_host::Vector4<int>;
using uint4 = cuda_on_host::Vector4<unsigned>;
using float4 = cuda_on_host::Vector4<float>;
using double4 = cuda_on_host::Vector4<double>;

inline int2 make_int2(int x, int y) { return {x, y}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline double2 make_double2(double x, double y) { return {x, y}; }
inline longlong2 make_longlong2(long long x, long long y) { return {x, y}; }
inline ulonglong2 make_ulonglong2(unsigned long long x, unsigned long long y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline double4 make_double4(double x, double y, double z, double w) { return {x, y, z, w}; }

// Set whenever a fiber begins or goes on.
inline constinit thread_local uint3 threadIdx{}, blockIdx{};
inline constinit thread_local dim3 blockDim{}, gridDim{};
constexpr int warpSize = 32;
