#pragma once
// x [S, B, D], r [S, G, D] → distance and cosine [S, B, G], in two kernels:
//
//   row_norms        |x| and 1/|x| of every row, a warp a row
//   pairwise_tiles   d² = Σ_k (x_k − r_k)² and x·r = Σ_k x_k r_k, a block a tile of 64 × 64 pairs
//
// d² is summed from differences, not from a Gram matrix, so near pairs lose no digits. What a pair
// gets depends on its two rows alone and not on where they stand: all pairs are summed in the same
// order, and swapping x and r changes no bit. Hence equal rows have d = 0 and equal cosines, and a
// gallery that is the batch needs the tiles from the diagonal to the right only, written twice.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "cuda/element.cuh"

namespace drsl::cuda {

constexpr int kThreads = 256, kWarps = kThreads / 32;
constexpr int kTile = 64;              // rows of x and rows of r
constexpr int kEach = 4;               // a thread has 4 × 4 pairs, in steps of
constexpr int kStep = kTile / kEach;   // 16 rows
constexpr int kSlabBytes = 128;        // of each row at a time, in shared memory
constexpr int kStagedRow = kTile + 1;  // numbers; odd, so that columns meet no bank twice

template <class T>
constexpr int kSlab = kSlabBytes / sizeof(T);
template <class T>
constexpr int kSlabRow = kSlab<T> + Pack<T>::kCount;  // 36 words: 8 rows' packs meet 32 banks once
template <class T>                                    // two slabs, later a result
constexpr int kShared = std::max(2 * kTile * kSlabRow<T>, kTile* kStagedRow);

// Blocks an SM: 128 registers a thread, which double would spill at.
template <class T>
constexpr int kBlocks = sizeof(T) == 4 ? 2 : 1;

// Where the longer row of a pair is between these, d² and x·r neither overflow nor lose digits.
template <class T>
constexpr T kShort = sizeof(T) == 4 ? T(1e-10) : T(1e-140);
template <class T>
constexpr T kLong = sizeof(T) == 4 ? T(1e18) : T(1e140);
// √ of the smallest normal number: shorter rows count as zero.
template <class T>
constexpr T kZero = sizeof(T) == 4 ? T(0x1p-63) : T(0x1p-511);
template <class T>
constexpr T kLargest = std::numeric_limits<T>::max();

template <class T>
struct RowNorm {
  T norm;     // |x|, or the largest number if that is beyond; NaN if x holds NaN or infinity
  T inverse;  // 1/|x|; 0 if x counts as zero; NaN likewise
};

template <class In, class T>
struct PairwiseTask {
  const In *x, *r;
  int64_t S, B, G, D;
  bool self;     // r is x, and the diagonal is known: d = 0, cos = 1
  bool aligned;  // rows of x and r begin at multiples of 16 bytes
  const RowNorm<T>*x_norm, *r_norm;
  T *distance, *cosine;
};

template <class T>
__host__ __device__ __forceinline__ int64_t tiles_of_set(const T& task) {
  const int64_t down = (task.B + kTile - 1) / kTile, across = (task.G + kTile - 1) / kTile;
  return task.self ? down * (down + 1) / 2 : down * across;
}

// The same sum in all lanes, to the bit.
__device__ __forceinline__ double warp_sum(double x) {
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes /= 2) x += __shfl_xor_sync(0xffffffffu, x, lanes);
  return x;
}

// Σ (scale·x_k)², by a warp.
template <class In>
__device__ __forceinline__ double squared_norm(const In* x, int64_t D, double scale) {
  double sum = 0;
  for (int64_t k = threadIdx.x % 32; k < D; k += 32) {
    const double a = scale * double(widen(x[k]));
    sum += a * a;
  }
  return warp_sum(sum);
}

// A power of two that takes rows of this norm where squares of doubles neither overflow nor vanish.
__device__ __forceinline__ double safe_scale(double norm) {
  return norm < 1e-140 ? 0x1p600 : norm > 1e140 ? 0x1p-600 : 1.0;
}

template <class In, class T>
__global__ void __launch_bounds__(kThreads, 4)
    row_norms(const In* x, int64_t rows, int64_t D, RowNorm<T>* out) {
  const int64_t stride = int64_t(gridDim.x) * kWarps;
  for (int64_t i = int64_t(blockIdx.x) * kWarps + threadIdx.x / 32; i < rows; i += stride) {
    double scale = 1, sum = squared_norm(x + i * D, D, scale);
    if (!(sum >= 1e-280 && sum <= 1e280)) {
      scale = sum < 1 ? 0x1p600 : 0x1p-600;
      sum = squared_norm(x + i * D, D, scale);
    }
    const double root = sqrt(sum), norm = root / scale;
    RowNorm<T> result{T(NAN), T(NAN)};
    if (sum <= kLargest<double>) {
      result.norm = norm < double(kLargest<T>) ? T(norm) : kLargest<T>;
      result.inverse = norm < double(kZero<T>) ? T(0) : T(scale / root);
    }
    if (threadIdx.x % 32 == 0) out[i] = result;
  }
}

struct Tile {
  int64_t set, row, column;  // of its first pair
  bool mirror;               // to be written below the diagonal, too
};

// Tile number t of all sets. Of a batch with itself column after column, from row 0 to the diagonal.
template <class Task>
__device__ __forceinline__ Tile find_tile(const Task& task, int64_t t) {
  const int64_t per_set = tiles_of_set(task), set = t / per_set;
  t -= set * per_set;
  if (!task.self) {
    const int64_t across = (task.G + kTile - 1) / kTile, i = t / across;
    return {set, i * kTile, (t - i * across) * kTile, false};
  }
  // t = j (j + 1)/2 + i with i ≤ j: the root is nearly j.
  int64_t j = int64_t((sqrtf(8 * float(t) + 1) - 1) / 2);
  while (j * (j + 1) / 2 > t) --j;
  while ((j + 1) * (j + 2) / 2 <= t) ++j;
  const int64_t i = t - j * (j + 1) / 2;
  return {set, i * kTile, j * kTile, i != j};
}

// Numbers [k, k + kSlab) of 64 rows from `first` on, to shared memory; zero beyond the last row.
template <class In, class T>
__device__ __forceinline__ void load_slab(const In* rows, int64_t first, int64_t count, int64_t k,
                                          int64_t D, bool aligned, T* to) {
  constexpr int kIn = Pack<In>::kCount, kOut = Pack<T>::kCount, kPacks = kSlab<T> / kIn;
  static_assert(kTile * kPacks % kThreads == 0);
#pragma unroll
  for (int begin = 0; begin < kTile * kPacks; begin += kThreads) {
    const int p = begin + int(threadIdx.x), row = p / kPacks, at = p % kPacks * kIn;
    Pack<In> in{};
    if (first + row < count) in = load_pack(rows + (first + row) * D, k + at, D, aligned);
#pragma unroll
    for (int from = 0; from < kIn; from += kOut) {
      Pack<T> out;
#pragma unroll
      for (int i = 0; i < kOut; ++i) out.at[i] = widen(in.at[from + i]);
      *reinterpret_cast<Pack<T>*>(to + row * kSlabRow<T> + at + from) = out;
    }
  }
}

template <class T>
struct Sums {
  T square[kEach][kEach] = {}, dot[kEach][kEach] = {};
};

// Adds a slab's share to the thread's pairs (i + 16 a, j + 16 b), i = thread/16, j = thread%16.
template <class T>
__device__ __forceinline__ void add_slab(const T* x, const T* r, Sums<T>& sums) {
  x += threadIdx.x / kStep * kSlabRow<T>;
  r += threadIdx.x % kStep * kSlabRow<T>;
#pragma unroll 1
  for (int k = 0; k < kSlab<T>; k += Pack<T>::kCount) {
    Pack<T> own[kEach];
#pragma unroll
    for (int a = 0; a < kEach; ++a)
      own[a] = *reinterpret_cast<const Pack<T>*>(x + a * kStep * kSlabRow<T> + k);
#pragma unroll
    for (int b = 0; b < kEach; ++b) {
      const Pack<T> other = *reinterpret_cast<const Pack<T>*>(r + b * kStep * kSlabRow<T> + k);
#pragma unroll
      for (int a = 0; a < kEach; ++a)
#pragma unroll
        for (int i = 0; i < Pack<T>::kCount; ++i) {
          const T difference = own[a].at[i] - other.at[i];
          sums.square[a][b] += difference * difference;
          sums.dot[a][b] += own[a].at[i] * other.at[i];
        }
    }
  }
}

// d² and x·r of the thread's pairs. In float 32 numbers are summed at a time and then added to the
// total: rounding errors of √32 + √(D/32) additions instead of √D.
template <class In, class T>
__device__ __forceinline__ Sums<T> sum_tile(const PairwiseTask<In, T>& task, const Tile& tile,
                                            T* shared) {
  T *const x = shared, *const r = shared + kTile * kSlabRow<T>;
  const In* const x_rows = task.x + tile.set * task.B * task.D;
  const In* const r_rows = task.r + tile.set * task.G * task.D;
  Sums<T> total, part;
  for (int64_t k = 0; k < task.D; k += kSlab<T>) {
    __syncthreads();
    load_slab(x_rows, tile.row, task.B, k, task.D, task.aligned, x);
    load_slab(r_rows, tile.column, task.G, k, task.D, task.aligned, r);
    __syncthreads();
    if constexpr (sizeof(T) == 4) {
      part = {};
      add_slab(x, r, part);
#pragma unroll
      for (int p = 0; p < kEach * kEach; ++p) {
        total.square[p / kEach][p % kEach] += part.square[p / kEach][p % kEach];
        total.dot[p / kEach][p % kEach] += part.dot[p / kEach][p % kEach];
      }
    } else {
      add_slab(x, r, total);
    }
  }
  return total;
}

// To [−1, 1]; fminf and fmaxf would turn NaN into a number.
template <class T>
__device__ __forceinline__ T clamp_cosine(T y) {
  return y < T(-1) ? T(-1) : y > T(1) ? T(1) : y;
}

// d² → d and x·r → cos, in place. Returns whether a row may need careful_pair.
template <class In, class T>
__device__ __forceinline__ bool finish_sums(const PairwiseTask<In, T>& task, const Tile& tile,
                                            Sums<T>& sums) {
  const int64_t row = tile.row + threadIdx.x / kStep, column = tile.column + threadIdx.x % kStep;
  const RowNorm<T>* const x_norm = task.x_norm + tile.set * task.B;
  const RowNorm<T>* const r_norm = task.r_norm + tile.set * task.G;
  bool extreme = false;
#pragma unroll
  for (int a = 0; a < kEach; ++a) {
    const int64_t i = row + a * kStep;
    const RowNorm<T> x = i < task.B ? x_norm[i] : RowNorm<T>{1, 1};
    extreme |= x.norm < kShort<T> || x.norm > kLong<T> / 2;
#pragma unroll
    for (int b = 0; b < kEach; ++b) {
      const int64_t j = column + b * kStep;
      const RowNorm<T> r = j < task.G ? r_norm[j] : RowNorm<T>{1, 1};
      extreme |= r.norm < kShort<T> || r.norm > kLong<T> / 2;
      T& d = sums.square[a][b];
      T& cosine = sums.dot[a][b];
      d = sqrt(d);
      cosine = clamp_cosine(cosine * (x.inverse * r.inverse));
      if (task.self && i == j && x.inverse == x.inverse) {  // not a bad row
        d = 0;
        cosine = x.inverse != 0;
      }
    }
  }
  return extreme;
}

// One result of the tile to its matrix [B, G]; the mirrored half by way of shared memory, so that
// neighbouring threads write neighbouring numbers there, too.
template <class In, class T>
__device__ __forceinline__ void write_tile(const PairwiseTask<In, T>& task, const Tile& tile,
                                           const T (&value)[kEach][kEach], T* matrix, T* staged) {
  matrix += tile.set * task.B * task.G;
  const int first = threadIdx.x / kStep, second = threadIdx.x % kStep;
  if (tile.mirror) __syncthreads();  // shared memory is free
#pragma unroll
  for (int p = 0; p < kEach * kEach; ++p) {
    const int i = first + p / kEach * kStep, j = second + p % kEach * kStep;
    const int64_t row = tile.row + i, column = tile.column + j;
    const T v = value[p / kEach][p % kEach];
    if (row < task.B && column < task.G) matrix[row * task.G + column] = v;
    if (tile.mirror) staged[j * kStagedRow + i] = v;
  }
  if (!tile.mirror) return;
  __syncthreads();
  for (int p = threadIdx.x; p < kTile * kTile; p += kThreads) {
    const int64_t row = tile.row + p % kTile, column = tile.column + p / kTile;
    if (row < task.B && column < task.G)
      matrix[column * task.G + row] = staged[p / kTile * kStagedRow + p % kTile];
  }
}

template <class T>
struct Pair {
  T distance, cosine;
};

// A pair whose squares leave the range of T: in double, with rows scaled by powers of two, by a warp.
template <class In, class T>
__device__ __forceinline__ Pair<T> careful_pair(const In* x, RowNorm<T> x_norm, const In* r,
                                                RowNorm<T> r_norm, int64_t D) {
  const double sx = safe_scale(x_norm.norm), sr = safe_scale(r_norm.norm), both = sx < sr ? sx : sr;
  double d2 = 0, dot = 0, x2 = 0, r2 = 0;
  for (int64_t k = threadIdx.x % 32; k < D; k += 32) {
    const double a = widen(x[k]), b = widen(r[k]), difference = both * a - both * b;
    d2 += difference * difference;
    dot += (sx * a) * (sr * b);
    x2 += (sx * a) * (sx * a);
    r2 += (sr * b) * (sr * b);
  }
  const double d = sqrt(warp_sum(d2)) / both;
  const double cosine = warp_sum(dot) / (sqrt(warp_sum(x2)) * sqrt(warp_sum(r2)));
  const bool zero = x_norm.inverse == 0 || r_norm.inverse == 0;
  return {T(d), zero ? T(0) : T(clamp_cosine(cosine))};
}

// Overwrites the pairs of a tile that plain sums were not good for. Bad rows have NaN there already.
template <class In, class T>
__device__ __forceinline__ void mend_tile(const PairwiseTask<In, T>& task, const Tile& tile) {
  for (int p = threadIdx.x / 32; p < kTile * kTile; p += kWarps) {
    const int64_t i = tile.row + p / kTile, j = tile.column + p % kTile;
    if (i >= task.B || j >= task.G || (task.self && i == j)) continue;
    const int64_t x_row = tile.set * task.B + i, r_row = tile.set * task.G + j;
    const RowNorm<T> x = task.x_norm[x_row], r = task.r_norm[r_row];
    const T longer = x.norm + r.norm;  // or up to twice that; NaN if one is
    if (!(longer < kShort<T> || longer > kLong<T>)) continue;
    const Pair<T> pair =
        careful_pair(task.x + x_row * task.D, x, task.r + r_row * task.D, r, task.D);
    if (threadIdx.x % 32 != 0) continue;
    const int64_t at = x_row * task.G + j, mirrored = tile.mirror ? r_row * task.G + i : at;
    task.distance[at] = task.distance[mirrored] = pair.distance;
    task.cosine[at] = task.cosine[mirrored] = pair.cosine;
  }
}

// grid.x blocks take turns at the tiles of all sets.
template <class In, class T>
__global__ void __launch_bounds__(kThreads, kBlocks<T>)
    pairwise_tiles(const PairwiseTask<In, T> task) {
  alignas(16) __shared__ T shared[kShared<T>];
  const int64_t tiles = task.S * tiles_of_set(task);
  for (int64_t t = blockIdx.x; t < tiles; t += gridDim.x) {
    const Tile tile = find_tile(task, t);
    Sums<T> sums = sum_tile(task, tile, shared);
    const bool extreme = finish_sums(task, tile, sums);
    write_tile(task, tile, sums.square, task.distance, shared);
    write_tile(task, tile, sums.dot, task.cosine, shared);
    if (__syncthreads_or(extreme)) mend_tile(task, tile);
  }
}

}  // namespace drsl::cuda
