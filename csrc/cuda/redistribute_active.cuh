#pragma once
// Which tiles of kLine terms hold a coefficient that is not 0. What is skipped would have added zeros.
#include "cuda/redistribute_tile.cuh"

namespace drsl::cuda {

constexpr int kWindow = 32 * 32;  // tiles that are looked at together: a bit of a word each

// Sets memory.active for tiles [first, first + kWindow). The slabs are free; begins and ends
// with a barrier.
template <From kFrom, class E, class Multiply>
__device__ __forceinline__ void find_active(const RedistributeTask<E>& task, int first,
                                            TileMemory<E, Multiply>& memory) {
  constexpr int kWarps = Multiply::kThreads / 32;
  const int tiles = (task.terms + kLine - 1) / kLine, left = tiles - first;
  const int lines = task.ld / kLine;  // of a row of A
  const int count = left < kWindow ? left : kWindow, words = (count + 31) / 32;
  uint32_t* const found = reinterpret_cast<uint32_t*>(memory.slabs.direct);  // [kWarps][32]
  __syncthreads();
  const int first_row = memory.first_row;
  const uint8_t* const flags = task.some_flags(memory.set);
  for (int w = 0; w < words; ++w) {
    bool any = false;
    if constexpr (kFrom != From::kGallery) {  // a lane a tile, rows shared out among warps
      const int tile = first + 32 * w + lane_index();
#pragma unroll 8
      for (int i = warp_index(); i < Multiply::kRows; i += kWarps)
        if (tile < tiles && first_row + i < task.rows)
          any |= flags[int64_t(first_row + i) * lines + tile] != 0;
    }
    const uint32_t bits = __ballot_sync(kAllLanes, any);
    if (lane_index() == 0) found[warp_index() * 32 + w] = bits;
  }
  __syncwarp();
  if constexpr (kFrom != From::kQueries) {  // a lane a term, tiles shared out among warps
    for (int t = warp_index(); t < count; t += kWarps) {
      bool any = false;
#pragma unroll
      for (int i = 0; i < kLine; i += 32) {
        const int term = (first + t) * kLine + i + lane_index();
        any |= term < task.terms && flags[int64_t(term) * lines + first_row / kLine] != 0;
      }
      const bool some = __ballot_sync(kAllLanes, any) != 0;
      if (some && lane_index() == 0) found[warp_index() * 32 + t / 32] |= 1u << (t % 32);
    }
  }
  __syncthreads();
  if (int(threadIdx.x) < 32) {
    uint32_t bits = 0;
    for (int w = 0; w < kWarps && int(threadIdx.x) < words; ++w)
      bits |= found[w * 32 + int(threadIdx.x)];
    memory.active[threadIdx.x] = bits;
  }
  __syncthreads();
}

}  // namespace drsl::cuda
