// Small batches: three launches, forward and backward.
#include <algorithm>

#include "cuda/small_pairs.cuh"
#include "cuda/small_product.cuh"
#include "cuda/turn_launch.cuh"
#include "cuda/turn_small.cuh"
#include "cuda/turn_task.h"

namespace drsl::cuda {
namespace {

int64_t padded(int64_t columns) { return (columns + kLine - 1) / kLine * kLine; }

template <class T>
int64_t small_slot_bytes(int64_t columns) {
  return columns > kFewPositives ? ManyRow<T>::slot_bytes(padded(columns)) : 0;
}

int small_tiles(int64_t rows) { return int((rows + kSmallTile - 1) / kSmallTile); }

}  // namespace

int64_t small_scratch_bytes(int64_t rows, int64_t columns, int64_t item) {
  return rows * (item == 8 ? small_slot_bytes<double>(columns) : small_slot_bytes<float>(columns));
}

template <class E>
void small_pairs(const Small<E>& small, cudaStream_t stream) {
  const Turn<E>& t = small.turn;
  SmallPairs<E> task;
  task.x = t.x;
  task.sets = int(t.sets), task.tiles = small_tiles(t.count);
  task.slices = small.slices, task.slice = small.slice;
  task.square = small.square, task.dot = small.dot;
  task.zeros = small.zeros;
  task.angular = t.gradient ? t.angular : nullptr;
  task.ld = t.ld;
  task.aligned = rows_aligned(t.x);
  constexpr int kWarps = kSmallThreads / 32;
  const int tiles = task.tiles * (task.tiles + 1) / 2;
  const unsigned blocks = unsigned(tiles * small.slices + (t.count + kWarps - 1) / kWarps);
  DRSL_LAUNCH(slice_pairs<E>, dim3(blocks, unsigned(t.sets)), kSmallThreads, 0, stream, task);
  check_launch("slice_pairs");
}

template <class E>
bool small_turn(const Small<E>& small, const std::string& loss, const std::vector<double>& params,
                cudaStream_t stream) {
  using T = Accumulator<E>;
  const Turn<E>& t = small.turn;
  SmallTurn<T> turn;
  static_cast<TurnTask<T>&>(turn.task) = turn_task(t);
  turn.task.square = small.square, turn.task.dot = small.dot;
  turn.task.slices = small.slices, turn.task.slice_size = t.sets * t.count * t.ld;
  turn.slots = static_cast<char*>(t.scratch);
  turn.slot_bytes = small_slot_bytes<T>(t.count);
  turn.finished = small.zeros;
  turn.reduction = small.reduction;
  turn.out = small.out;
  return with_policy<T>(loss, params, [&](const auto& policy) {
    const auto kernel = turn_small<std::decay_t<decltype(policy)>, T>;
    DRSL_LAUNCH(kernel, unsigned(t.sets * t.count), kRowThreads, size_t(t.ld) * sizeof(T), stream,
                turn, policy);
    check_launch("turn_small");
  });
}

template <class E>
void small_product(const Small<E>& small, Accumulator<E>* grad, cudaStream_t stream) {
  const Turn<E>& t = small.turn;
  SmallProduct<E> task;
  task.x = t.x;
  task.a = t.gram, task.angular = t.at == AngularAt::kPositives ? t.angular : nullptr;
  task.ld = t.ld;
  task.radial = t.radial;
  task.share = small.reduction == Reduction::kMean ? small.out.share : nullptr;
  task.grad = grad;
  const dim3 grid(unsigned(small_tiles(t.count)), unsigned((t.x.dim + kSmallTile - 1) / kSmallTile),
                  unsigned(t.sets));
  DRSL_LAUNCH(sum_differences<E>, grid, kSmallThreads, 0, stream, task);
  check_launch("sum_differences");
}

#define DRSL_SMALL(E)                                                                       \
  template void small_pairs(const Small<E>&, cudaStream_t);                                 \
  template bool small_turn(const Small<E>&, const std::string&, const std::vector<double>&, \
                           cudaStream_t);                                                   \
  template void small_product(const Small<E>&, Accumulator<E>*, cudaStream_t);
DRSL_SMALL(double)
DRSL_SMALL(float)
DRSL_SMALL(Half)
DRSL_SMALL(BFloat16)
#undef DRSL_SMALL

}  // namespace drsl::cuda
