#pragma once
// grad_i (+)= Σ_j C_ij (other_j − own_i) + diagonal_i own_i over the pairs that are not near: a block a
// tile of kRows × kDims gradients.
//
// Every kFlush terms their share Σ_j C_ij other_j − (Σ_j C_ij) own_i is added to the gradient. The sum of
// coefficients is that of the coefficients as multiplied, so that what cancels in theory cancels in
// numbers, and short sums keep rounding errors (and the truncation of tensor cores) small.
#include "cuda/redistribute_active.cuh"
#include "cuda/redistribute_load.cuh"
#include "cuda/redistribute_tile.cuh"

namespace drsl::cuda {

// Row sums of all threads → memory.sums.coefficient. Begins and ends with a barrier.
template <class E, class Tile, class T>
__device__ __forceinline__ void gather_row_sums(T (&row_sum)[4], TileMemory<E, Tile>& memory) {
  T* const parts = memory.slabs.slab[0];  // [kTermQuads][kRows]
  const int thread = computed_here(int(threadIdx.x));
  __syncthreads();
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    parts[Tile::term_quad(thread) * Tile::kRows + 4 * Tile::row_quad(thread) + j] = row_sum[j];
    row_sum[j] = 0;
  }
  __syncthreads();
  if (int(threadIdx.x) < Tile::kRows) {
    T sum = 0;
    for (int k = 0; k < Tile::kTermQuads; ++k) sum += parts[k * Tile::kRows + int(threadIdx.x)];
    memory.sums.coefficient[threadIdx.x] = sum;
  }
  __syncthreads();
}

// The sums of a thread → memory.sums.product, and 0 again.
template <class E, class Multiply>
__device__ __forceinline__ void stage(Multiply& product, TileMemory<E, Multiply>& memory) {
  using T = Accumulator<E>;
#pragma unroll
  for (int i = 0; i < 4 * Multiply::kRowGroups; ++i)
#pragma unroll
    for (int j = 0; j < Multiply::kDimGroups; ++j) {
      QuadOf<T> quad;
#pragma unroll
      for (int b = 0; b < 4; ++b) {
        quad.at[b] = product.at(i, 4 * j + b);
        product.at(i, 4 * j + b) = 0;
      }
      *reinterpret_cast<QuadOf<T>*>(memory.sums.product +
                                    (Multiply::row(i / 4) + i % 4) * Multiply::kDims +
                                    Multiply::dim(j)) = quad;
    }
}

// What was multiplied goes to the gradient, and with it the diagonal. Begins and ends with a barrier.
template <class E, class Multiply, From kFrom>
__device__ __forceinline__ void flush(SlabLoader<E, Multiply, kFrom>& loader, Multiply& product,
                                      bool fresh, bool diagonal) {
  using T = Accumulator<E>;
  const auto& task = loader.task;
  auto& memory = loader.memory;
  const int set = memory.set;
  const auto gradient = [&] {
    return kFrom == From::kQueries ? memory.gradient : task.gradient(set);
  };
  constexpr int kWarps = Multiply::kThreads / 32, kLanes = Multiply::kDims / 32;
  // Rows of a warp whose numbers are on their way together: one by one, each would cost a trip to L2.
  constexpr int kTogether = sizeof(T) == 8 || Multiply::kDims > 64 ? 2 : 4;
  gather_row_sums(loader.row_sum, memory);
  stage<E>(product, memory);
  __syncthreads();
  const int rows = task.rows - memory.first_row < Multiply::kRows ? task.rows - memory.first_row
                                                                  : Multiply::kRows;
#pragma unroll 1
  for (int first = warp_index(); first < rows; first += kTogether * kWarps) {
    T own[kTogether], x[kTogether][kLanes], before[kTogether][kLanes];
#pragma unroll
    for (int r = 0; r < kTogether; ++r) {
      const int i = first + r * kWarps, row = memory.first_row + i;
      const int64_t at = int64_t(row) * task.dim;
      own[r] = i < rows ? -memory.sums.coefficient[i] : T(0);
      if (i < rows && diagonal && task.diagonal)
        own[r] += task.diagonal[set * task.own_count + row];
#pragma unroll
      for (int j = 0; j < kLanes; ++j) {
        const int k = memory.first_dim + 32 * j + lane_index();
        const bool inside = i < rows && k < task.dim;
        // a bad row that takes no part has 0 here, and 0 · NaN must be 0
        x[r][j] = inside && own[r] != T(0) ? T(widen(task.own_rows(set)[at + k])) : T(0);
        before[r][j] = inside && !fresh ? gradient()[at + k] : T(0);
      }
    }
#pragma unroll
    for (int r = 0; r < kTogether; ++r) {
      const int i = first + r * kWarps;
      const int64_t at = int64_t(memory.first_row + i) * task.dim;
#pragma unroll
      for (int j = 0; j < kLanes; ++j) {
        const int k = memory.first_dim + 32 * j + lane_index();
        if (i >= rows || k >= task.dim) continue;
        T g = memory.sums.product[i * Multiply::kDims + 32 * j + lane_index()];
        if (own[r] != T(0)) g += own[r] * x[r][j];
        if (!fresh) g += before[r][j];
        gradient()[at + k] = g;
      }
    }
  }
  __syncthreads();
}

// Bits of the tiles [part · kTiles, (part + 1) · kTiles) that hold anything.
template <int kTiles>
__device__ __forceinline__ uint32_t active_tiles(const uint32_t* active, int part) {
  static_assert(32 % kTiles == 0 && kTiles < 32);
  const int tile = part % (kWindow / kTiles) * kTiles;
  return active[tile / 32] >> (tile % 32) & ((1u << kTiles) - 1);
}

// The first slab from `slab` on in a tile whose bit is set, or a large number.
__device__ __forceinline__ int next_slab(uint32_t tiles, int slab) {
  constexpr int kSlabs = kLine / kSlab;
  const uint32_t left = slab < 32 * kSlabs ? tiles >> (slab / kSlabs) : 0;
  if (left & 1) return slab;
  return left ? (slab / kSlabs + __ffs(int(left)) - 1) * kSlabs : 1 << 30;
}

// The parts [first, end) of kFlush terms each, whose tiles memory.active tells of. Where the block's share
// of them ends the gradient is written in any case.
template <class E, class Multiply, From kFrom>
__device__ __forceinline__ void add_parts(SlabLoader<E, Multiply, kFrom> loader, int first, int end,
                                          bool& fresh) {
  constexpr int kTiles = Multiply::kFlush / kLine, kSlabs = Multiply::kFlush / kSlab;
  const auto& task = loader.task;
  auto& slabs = loader.memory.slabs;
  const int parts = (task.terms + Multiply::kFlush - 1) / Multiply::kFlush;
  Multiply product;
  int buffer = 0;
  for (int part = first; part < end; ++part) {
    const int first_term = part * Multiply::kFlush;
    const uint32_t tiles = active_tiles<kTiles>(loader.memory.active, part);
    const int left = (task.terms - first_term + kSlab - 1) / kSlab;
    const int last_slab = left < kSlabs ? left : kSlabs;
    const bool last = part + 1 >= (kFrom == From::kQueries ? loader.memory.stop : parts);

    // While a slab is multiplied, the next one is on its way.
    int next = next_slab(tiles, 0);
    if (next >= last_slab && !last) continue;
    for (bool some = false;;) {
      if (some) {
        cp_async_wait<0>();
        __syncthreads();
        loader.prepare(buffer);
        __syncthreads();
      }
      const bool more = next < last_slab;
      if (more) loader.begin(first_term + next * kSlab, buffer ^ 1);
      next = next_slab(tiles, next + 1);
      if (some) product(slabs.slab[buffer], slabs.operand[buffer]);
      if (!more) break;
      some = true;
      buffer ^= 1;
    }
    flush(loader, product, fresh, part + 1 >= parts);
    fresh = false;
  }
}

template <class E, class Multiply, From kFrom>
__global__ void __launch_bounds__(Multiply::kThreads, Multiply::kBlocks)
    redistribute_tiles(const RedistributeTask<E> task, unsigned first_set) {
  DRSL_DYNAMIC_SHARED(unsigned char, shared);
  auto& memory = *reinterpret_cast<TileMemory<E, Multiply>*>(shared);
  // blocks side by side share coefficients
  const unsigned across = (task.dim + Multiply::kDims - 1) / Multiply::kDims;
  if (threadIdx.x == 0) {
    memory.set = int(first_set + blockIdx.z);
    memory.first_row = int(blockIdx.x / across) * Multiply::kRows;
    memory.first_dim = int(blockIdx.x % across) * Multiply::kDims;
    if constexpr (kFrom == From::kQueries) {
      const int parts = (task.terms + Multiply::kFlush - 1) / Multiply::kFlush;
      memory.gradient = task.gradient(memory.set) + blockIdx.y * task.split;
      memory.stop = (int(blockIdx.y) + 1) * parts / int(gridDim.y);
    }
  }
  const SlabLoader<E, Multiply, kFrom> loader{task, memory};
  constexpr int kParts = kWindow * kLine / Multiply::kFlush;  // that are looked at together
  const int parts = (task.terms + Multiply::kFlush - 1) / Multiply::kFlush;
  bool fresh = !task.add;
  // Only queries are ever split. There are no more splits than parts, and none is empty.
  int part = kFrom == From::kQueries ? int(blockIdx.y) * parts / int(gridDim.y) : 0;
  const auto stop = [&] { return kFrom == From::kQueries ? memory.stop : parts; };
  do {  // once even if there are no terms: the diagonal remains
    find_active<kFrom>(task, part / kParts * kWindow, memory);
    const int next = (kFrom == From::kQueries ? part / kParts * kParts : part) + kParts;
    const int end = next < stop() ? next : stop();
    add_parts(loader, part, end > part ? end : part + 1, fresh);
    part = end;
  } while (part < stop());
}

constexpr int kAddThreads = 256;

// grad (+)= the gradients of all splits, in their order.
template <class T>
__global__ void __launch_bounds__(kAddThreads, 4)
    add_splits(const T* splits, int count, int64_t numbers, T* grad, bool add) {
  const int64_t stride = int64_t(gridDim.x) * kAddThreads;
  for (int64_t i = int64_t(blockIdx.x) * kAddThreads + threadIdx.x; i < numbers; i += stride) {
    T sum = add ? grad[i] : T(0);
#pragma unroll 4
    for (int s = 0; s < count; ++s) sum += splits[s * numbers + i];
    grad[i] = sum;
  }
}

}  // namespace drsl::cuda
