// Coefficients → gradients: the product of redistribute.cuh, then the near pairs.
#include "cuda/redistribute.cuh"

#include <algorithm>
#include <cstdint>

#include "cuda/near_rows.cuh"
#include "cuda/redistribute_mma.cuh"
#include "cuda/redistribute_simt.cuh"
#include "cuda/redistribute_splits.h"
#include "cuda/runtime.h"

namespace drsl::cuda {
namespace {

constexpr int64_t kMostSets = 65535;  // of a grid
constexpr int64_t kFullGrid = 120;    // blocks that keep a GPU busy
constexpr int64_t kAddBlocks = 1056;  // eight for each multiprocessor of a large GPU

bool aligned_to_16(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

int64_t divide_up(int64_t n, int64_t by) { return (n + by - 1) / by; }

template <class F>
void for_sets(int64_t sets, F f) {
  for (int64_t first = 0; first < sets; first += kMostSets)
    f(unsigned(first), unsigned(std::min(kMostSets, sets - first)));
}

template <class Tile, class E>
int64_t blocks_of_set(const RedistributeTask<E>& task) {
  return divide_up(task.rows, Tile::kRows) * divide_up(task.dim, Tile::kDims);
}

// splits: gradients, each of a share of the terms.
template <class Multiply, From kFrom, class E>
void launch_tiles(const RedistributeTask<E>& task, int64_t sets, int64_t splits,
                  cudaStream_t stream) {
  constexpr auto kernel = &redistribute_tiles<E, Multiply, kFrom>;
  constexpr int bytes = sizeof(TileMemory<E, Multiply>);
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes),
        "redistribute_tiles");
  const auto blocks = unsigned(blocks_of_set<Multiply>(task));
  for_sets(sets, [&](unsigned first, unsigned count) {
    DRSL_LAUNCH(kernel, dim3(blocks, unsigned(splits), count), dim3(Multiply::kThreads), bytes,
                stream, task, first);
    check_launch("redistribute_tiles");
  });
}

template <From kFrom, class E>
void launch_near(const RedistributeTask<E>& task, int64_t sets, cudaStream_t stream) {
  for_sets(sets, [&](unsigned first, unsigned count) {
    if constexpr (kFrom == From::kGallery) {
      const auto blocks = unsigned(divide_up(task.rows, 32 * kNearWords));
      DRSL_LAUNCH(near_columns<E>, dim3(blocks, 1, count), dim3(kNearThreads), 0, stream, task,
                  first);
    } else {
      constexpr auto kernel = &near_rows<E, kFrom>;
      const auto blocks = unsigned(divide_up(task.rows, kNearWarps));
      DRSL_LAUNCH(kernel, dim3(blocks, 1, count), dim3(kNearThreads), 0, stream, task, first);
    }
    check_launch("near_rows");
  });
}

// Large tiles ask least of shared memory, small ones fill more of the GPU.
template <From kFrom, class Large, class Small, class E>
void launch_either(const RedistributeTask<E>& task, int64_t sets, int64_t splits,
                   cudaStream_t stream) {
  if (sets * splits * blocks_of_set<Large>(task) >= kFullGrid)
    launch_tiles<Large, kFrom>(task, sets, splits, stream);
  else
    launch_tiles<Small, kFrom>(task, sets, splits, stream);
}

// How a product is multiplied: decided here, from types, shapes and what accuracy is asked for.
template <From kFrom, class E>
void launch_product(const RedistributeTask<E>& task, int64_t sets, int64_t splits,
                    Products products, cudaStream_t stream) {
  if constexpr (std::is_same_v<E, double>) {
    launch_tiles<SimtMultiply<double, 128, 64, 64, 2>, kFrom>(task, sets, splits, stream);
  } else if constexpr (std::is_same_v<E, float>) {
    if (products == Products::kFloat32)
      launch_either<kFrom, MmaMultiply<E, 3, 256, 128, 64, 2>, SimtMultiply<float, 128, 64, 64, 4>>(
          task, sets, splits, stream);
    else
      launch_either<kFrom, MmaMultiply<E, 1, 256, 128, 64, 2>, MmaMultiply<E, 1, 128, 64, 64, 4>>(
          task, sets, splits, stream);
  } else {
    launch_either<kFrom, MmaMultiply<E, 1, 256, 128, 128, 2>, MmaMultiply<E, 1, 128, 64, 64, 4>>(
        task, sets, splits, stream);
  }
}

// The same by splits, each into a gradient of its own.
template <From kFrom, class E>
void launch_splits(RedistributeTask<E> task, int64_t splits, Accumulator<E>* memory,
                   Products products, cudaStream_t stream) {
  Accumulator<E>* const grad = task.grad;
  const bool add = task.add;
  const int64_t numbers = int64_t(task.rows) * task.dim;
  task.grad = memory, task.split = numbers, task.add = false;
  launch_product<kFrom>(task, 1, splits, products, stream);
  const int64_t blocks = std::min<int64_t>(divide_up(numbers, kAddThreads), kAddBlocks);
  DRSL_LAUNCH(add_splits<Accumulator<E>>, dim3(unsigned(blocks)), dim3(kAddThreads), 0, stream,
              memory, int(splits), numbers, grad, add);
  check_launch("add_splits");
}

template <From kFrom, class E>
void redistribute(const Coefficients<E>& c, const Accumulator<E>* diagonal, Accumulator<E>* grad,
                  bool add, cudaStream_t stream) {
  constexpr bool kOwnIsQuery = kFrom != From::kGallery, kOtherIsQuery = kFrom == From::kGallery;
  const Side<E>&own = kOwnIsQuery ? c.x : c.r, &other = kOtherIsQuery ? c.x : c.r;
  const int64_t own_first = kOwnIsQuery ? c.first : 0, other_first = kOtherIsQuery ? c.first : 0;
  RedistributeTask<E> task{};
  task.a = c.a, task.near = c.near, task.some = c.some;
  task.queries = c.count, task.ld = int(c.ld);
  task.dim = int(own.dim);
  task.own = own.rows + own_first * task.dim, task.other = other.rows + other_first * task.dim;
  task.norm2 = other.norms.norm2 + other_first;
  task.rows = int(kOwnIsQuery ? c.count : c.r.count);
  task.terms = int(kOtherIsQuery ? c.count : c.r.count);
  task.own_count = own.count, task.other_count = other.count;
  task.diagonal = diagonal ? diagonal + own_first : nullptr;
  task.grad = grad + own_first * task.dim;
  task.add = add;
  const int64_t row_bytes = task.dim * int64_t(sizeof(E));
  const bool begin = aligned_to_16(task.own) && aligned_to_16(task.other);
  task.aligned = begin && row_bytes % 16 == 0;
  if (c.sets == 0 || task.rows == 0 || task.dim == 0) return;
  const int64_t splits = kFrom == From::kQueries && c.splits && c.sets == 1
                             ? redistribute_splits(task.rows, task.dim, task.terms)
                             : 1;
  if (splits > 1)
    launch_splits<kFrom>(task, splits, c.splits, c.products, stream);
  else
    launch_product<kFrom>(task, c.sets, 1, c.products, stream);
  if (task.terms > 0) launch_near<kFrom>(task, c.sets, stream);
}

}  // namespace

template <class E>
void redistribute_symmetric(const Coefficients<E>& c, const Accumulator<E>* diagonal,
                            Accumulator<E>* grad, cudaStream_t stream) {
  redistribute<From::kSymmetric>(c, diagonal, grad, false, stream);
}

template <class E>
void redistribute_queries(const Coefficients<E>& c, const Accumulator<E>* e, Accumulator<E>* grad,
                          bool add, cudaStream_t stream) {
  redistribute<From::kQueries>(c, e, grad, add, stream);
}

template <class E>
void redistribute_gallery(const Coefficients<E>& c, const Accumulator<E>* f, Accumulator<E>* grad,
                          bool add, cudaStream_t stream) {
  redistribute<From::kGallery>(c, f, grad, add, stream);
}

#define DRSL_INSTANTIATE(E)                                                           \
  template void redistribute_symmetric(const Coefficients<E>&, const Accumulator<E>*, \
                                       Accumulator<E>*, cudaStream_t);                \
  template void redistribute_queries(const Coefficients<E>&, const Accumulator<E>*,   \
                                     Accumulator<E>*, bool, cudaStream_t);            \
  template void redistribute_gallery(const Coefficients<E>&, const Accumulator<E>*,   \
                                     Accumulator<E>*, bool, cudaStream_t);
DRSL_INSTANTIATE(double)
DRSL_INSTANTIATE(float)
DRSL_INSTANTIATE(Half)
DRSL_INSTANTIATE(BFloat16)
#undef DRSL_INSTANTIATE

}  // namespace drsl::cuda
