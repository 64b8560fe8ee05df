#pragma once
// Which kernel multiplies, and its launch, whatever becomes of the tiles.
#include <algorithm>
#include <cstdint>

#include "cuda/gram_mma.cuh"
#include "cuda/gram_simt.cuh"
#include "cuda/gram_task.cuh"
#include "cuda/runtime.h"

namespace drsl::cuda {

// The most bytes that rows can be copied by at once.
template <class E>
int copy_unit(const E* x, const E* r, int64_t dim) {
  const auto bits = reinterpret_cast<uintptr_t>(x) | reinterpret_cast<uintptr_t>(r) |
                    uintptr_t(dim * int64_t(sizeof(E)));
  return bits % 16 == 0 ? 16 : bits % 8 == 0 && sizeof(E) == 8 ? 8 : bits % 4 == 0 ? 4 : 2;
}

template <int kTile, int kThreads, int kShared, class E, class Output>
void launch_gram_kernel(void (*kernel)(GramTask<E>, Output), const GramTask<E>& task,
                        const Output& output, const char* name, cudaStream_t stream) {
  const int64_t tiles = gram_tiles<kTile>(task.rows, task.columns, task.symmetric);
  const dim3 grid(unsigned(tiles), 1, unsigned(std::min<int64_t>(task.sets, 65535)));
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kShared), name);
  DRSL_LAUNCH(kernel, grid, kThreads, kShared, stream, task, output);
  check_launch(name);
}

template <class Shape, class E, class Output>
void launch_simt(const GramTask<E>& task, const Output& output, cudaStream_t stream) {
  constexpr int kShared = gram_shared_bytes<Shape::kTile, Shape::kStages, Accumulator<E>>();
  launch_gram_kernel<Shape::kTile, Shape::kThreads, kShared>(gram_simt<Shape, E, Output>, task,
                                                             output, "gram_simt", stream);
}

template <class Shape, class Math, class E, class Output>
void launch_mma(const GramTask<E>& task, const Output& output, cudaStream_t stream) {
  constexpr int kShared = gram_shared_bytes<Shape::kTile, Shape::kStages, float>();
  launch_gram_kernel<Shape::kTile, Shape::kThreads, kShared>(gram_mma<Shape, Math, E, Output>, task,
                                                             output, "gram_mma", stream);
}

// What the bits of x·r depend on: types and dimensions alone, so that blocks of one matrix agree.
enum class GramWay { kSimt, kPlainMma, kPromotedMma, kSplitMma };

// Rows that one sum, in tensor cores that cut off, is good enough for: on non-negative numbers it is off
// by some 1e-6 |x||r|. Products of Half have more digits to lose.
template <class E>
constexpr int64_t kOneSum = std::is_same_v<E, Half> ? 128 : 512;

template <class E>
GramWay choose_gram_way(int64_t dim, Products products) {
  if (sizeof(E) == 8) return GramWay::kSimt;
  if (sizeof(E) == 2) return dim <= kOneSum<E> ? GramWay::kPlainMma : GramWay::kPromotedMma;
  if (products == Products::kTF32) return GramWay::kPlainMma;
  // three multiplications of whole slabs: of no use to short rows
  return dim < 2 * kGramSlab<float> ? GramWay::kSimt : GramWay::kSplitMma;
}

// Large tiles read less; small ones, which give the same bits, where large ones would not fill a GPU, or where
// a block has no room for them: 99 KB with compute capability 8.6, 8.9 and 12.
constexpr int64_t kManyTiles = 256;
constexpr int kLargeShared = gram_shared_bytes<128, 3, float>();

inline bool has_shared(int bytes) {
  int device = 0, most = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
        "cudaDeviceGetAttribute");
  return bytes <= most;
}

template <class E, class Output>
void launch_gram(const GramTask<E>& task, const Output& output, Products products,
                 cudaStream_t stream) {
  if (task.sets == 0 || task.rows == 0 || task.columns == 0) return;
  if constexpr (sizeof(E) == 8) {
    launch_simt<SimtDouble>(task, output, stream);
  } else {
    const int64_t tiles = task.sets * gram_tiles<128>(task.rows, task.columns, task.symmetric);
    const bool many = tiles >= kManyTiles && has_shared(kLargeShared);
    const auto mma = [&]<class Shape, bool kPromoted>(Shape) {
      using Math = PlainMath<E, Shape::kDown, Shape::kAcross, kPromoted>;
      launch_mma<Shape, Math>(task, output, stream);
    };
    switch (choose_gram_way<E>(task.dim, products)) {
      case GramWay::kSimt:
        if constexpr (sizeof(E) == 4)
          return many ? launch_simt<SimtLarge>(task, output, stream)
                      : launch_simt<SimtSmall>(task, output, stream);
        break;
      case GramWay::kPlainMma:
        return many ? mma.template operator()<MmaLarge, false>({})
                    : mma.template operator()<MmaSmall, false>({});
      case GramWay::kPromotedMma:
        if constexpr (sizeof(E) == 2)
          return many ? mma.template operator()<MmaLargePromoted, true>({})
                      : mma.template operator()<MmaSmall, true>({});
        break;
      case GramWay::kSplitMma:
        if constexpr (sizeof(E) == 4)
          return launch_mma<MmaSplit, SplitMath<MmaSplit::kDown, MmaSplit::kAcross>>(task, output,
                                                                                     stream);
        break;
    }
  }
}

}  // namespace drsl::cuda
