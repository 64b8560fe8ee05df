// The stages of an evaluation: see match.h.
#include "cuda/match.h"

#include <algorithm>

#include "cuda/match_count.cuh"
#include "cuda/match_digits.cuh"
#include "cuda/match_list.cuh"
#include "cuda/match_settle.cuh"
#include "cuda/measure.cuh"
#include "cuda/runtime.h"

namespace drsl::cuda {
namespace {

constexpr int64_t kPlainShared = 32 << 10;  // beside what is static, nobody has to be asked for
constexpr int64_t kMostAcross = 65535;      // of a grid, beyond x

template <class Kernel>
void allow_shared(Kernel kernel, int64_t shared, const char* name) {
  if (shared > kPlainShared)
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(shared)),
          name);
}

int64_t ratio(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

template <class E>
void write_digits(const DigitsTask<E>& task, cudaStream_t stream) {
  if (task.padded == 0) return;
  DRSL_LAUNCH(digits_of_rows<E>, grid_blocks(ratio(task.padded, kDigitsThreads / 32)),
              kDigitsThreads, 0, stream, task);
  check_launch("digits_of_rows");
}

template <class E>
void find_matches(const MatchTask& task, const Features<E>& features, cudaStream_t stream) {
  const size_t shared = size_t(task.slots) * sizeof(double);
  DRSL_LAUNCH(matches_of<E>, grid_blocks(task.queries), kMatchThreads, shared, stream, task,
              features);
  check_launch("matches_of");
}

void count(const MatchTask& task, const Tile& tile, cudaStream_t stream) {
  const int64_t shared = kCountQueries * CountShared::words(task.slots) * int64_t(sizeof(unsigned));
  allow_shared(count_tile, shared, "count_tile");
  const dim3 grid(grid_blocks(ratio(task.queries, kCountQueries)),
                  unsigned(ratio(tile.width, kCountStrip)));
  DRSL_LAUNCH(count_tile, grid, kMatchThreads, size_t(shared), stream, task, tile);
  check_launch("count_tile");
}

template <class E>
void settle_listed(const MatchTask& task, const Features<E>& features, const ScoresOut& out,
                   cudaStream_t stream) {
  const size_t shared = size_t(task.slots) * sizeof(unsigned);
  DRSL_LAUNCH(settle<E>, grid_blocks(task.queries), kMatchThreads, shared, stream, task, features,
              out);
  check_launch("settle");
}

template <class E>
void measure_all(const Features<E>& features, double* out, cudaStream_t stream) {
  if (features.queries == 0 || features.entries == 0) return;
  const int64_t groups = ratio(features.queries, kDistanceQueries);
  const dim3 grid(grid_blocks(ratio(features.entries, kDistanceThreads / 32)),
                  unsigned(std::min(groups, kMostAcross)));
  DRSL_LAUNCH(all_distances<E>, grid, kDistanceThreads, 0, stream, features, out);
  check_launch("all_distances");
}

template <class E>
void squared_lengths(const E* rows, int64_t count, int64_t dim, bool aligned, double* out,
                     cudaStream_t stream) {
  if (count == 0) return;
  DRSL_LAUNCH(squared_lengths_of<E>, grid_blocks(ratio(count, kMeasureWarps)), kMeasureThreads, 0,
              stream, rows, count, dim, aligned, out);
  check_launch("squared_lengths_of");
}

#define DRSL_MATCH_STAGES(E)                                                          \
  template void write_digits(const DigitsTask<E>&, cudaStream_t);                     \
  template void find_matches(const MatchTask&, const Features<E>&, cudaStream_t);     \
  template void settle_listed(const MatchTask&, const Features<E>&, const ScoresOut&, \
                              cudaStream_t);                                          \
  template void measure_all(const Features<E>&, double*, cudaStream_t);               \
  template void squared_lengths(const E*, int64_t, int64_t, bool, double*, cudaStream_t);
DRSL_MATCH_STAGES(double)
DRSL_MATCH_STAGES(float)
DRSL_MATCH_STAGES(Half)
DRSL_MATCH_STAGES(BFloat16)

}  // namespace drsl::cuda
