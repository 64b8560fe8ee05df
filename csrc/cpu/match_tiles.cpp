#include "cpu/match_tiles.h"

#include <algorithm>
#include <atomic>
#include <limits>
#include <vector>

#include "cpu/match_tile.h"
#include "cpu/parallel.h"

namespace drsl {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
// Matches of a tile's queries, at most: fewer queries where they have many.
constexpr int64_t kCounted = 1 << 20;

}  // namespace

template <class T, class E>
void match_tiles(Retrieval<T, E> all, Scores* out) {
  std::vector<int64_t> offset(size_t(all.queries) + 1);
  count_matches(all.identities, all.queries, offset.data());
  const auto total = size_t(offset.back());
  std::vector<int32_t> column(total);
  std::vector<double> value(total);
  measure_matches(all.identities, all.x, all.gallery, all.queries, all.dim, offset.data(),
                  column.data(), value.data());
  const Matches matches{offset.data(), column.data(), value.data()};
  int64_t most = 0;
  for (int64_t q = 0; q < all.queries; ++q)
    most = std::max(most, offset[size_t(q) + 1] - offset[size_t(q)]);
  if (most > 0) all.height = std::clamp(kCounted / most, int64_t(1), all.height);

  MatchCounts counts{std::vector<int32_t>(total), std::vector<int64_t>(size_t(all.queries))};
  const int64_t tiles = (all.entries + all.width - 1) / all.width,
                bands = (all.queries + all.height - 1) / all.height;
  const int64_t tasks =
      std::min(tiles * bands, task_count(all.queries * all.entries * all.dim, 1 << 18));
  std::vector<TileOfThread<T, E>> threads;
  threads.reserve(size_t(tasks));
  for (int64_t t = 0; t < tasks; ++t) threads.emplace_back(all, matches, most, counts);
  std::atomic<int64_t> next = 0;  // whoever is free takes the next tile
  for_tasks(tasks, tasks, 1, [&](int64_t t, int64_t, int64_t) {
    for (int64_t i; (i = next++) < tiles * bands;) {
      const int64_t from = i / tiles * all.height;
      threads[size_t(t)].run(from, std::min(all.queries, from + all.height), i % tiles * all.width);
    }
  });
  for (auto& thread : threads) thread.end();

  for (int64_t q = 0; q < all.queries; ++q) {
    const int64_t from = offset[size_t(q)], n = offset[size_t(q) + 1] - from;
    out[q] = scores_of(counts.before.data() + from, n);
    if (all.limit >= 0 && counts.measured[size_t(q)] > all.limit) out[q] = {kNan, kNan, -1};
  }
}

template void match_tiles(Retrieval<float, float>, Scores*);
template void match_tiles(Retrieval<double, double>, Scores*);

}  // namespace drsl
