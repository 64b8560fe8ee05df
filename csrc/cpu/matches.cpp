#include "cpu/matches.h"

#include <algorithm>
#include <vector>

#include "cpu/distances.h"
#include "cpu/parallel.h"

namespace drsl {
namespace {

template <class F>
void each_match(const Identities& all, int64_t q, const F& f) {
  for (int64_t i = all.begin[q]; i < all.end[q]; ++i) {
    const int32_t k = all.by_identity[i];
    if (all.listed(k) && !all.junk(q, k)) f(k);
  }
}

struct Measuring {  // a thread's workspace
  std::vector<int32_t> columns;
  std::vector<double> values;
  std::vector<Place> places;
};

}  // namespace

void count_matches(const Identities& identities, int64_t queries, int64_t* offset) {
  offset[0] = 0;
  for (int64_t q = 0; q < queries; ++q) {
    int64_t count = 0;
    each_match(identities, q, [&](int32_t) { ++count; });
    offset[q + 1] = offset[q] + count;
  }
}

template <class E>
void measure_matches(const Identities& identities, const E* x, const E* gallery, int64_t queries,
                     int64_t dim, const int64_t* offset, int32_t* column, double* value) {
  int64_t most = 0;
  for (int64_t q = 0; q < queries; ++q) most = std::max(most, offset[q + 1] - offset[q]);
  const int64_t tasks = task_count(offset[queries] * dim, 1 << 15);
  std::vector<Measuring> spaces{size_t(tasks)};
  for (auto& space : spaces) {  // nothing is allocated while threads run
    space.columns.reserve(size_t(most));
    space.places.reserve(size_t(most));
    space.values.resize(size_t(most));
  }
  for_tasks(tasks, queries, 1, [&](int64_t t, int64_t first, int64_t last) {
    Measuring& space = spaces[size_t(t)];  // clang before 19 hands no structured binding on
    auto& columns = space.columns;
    auto& places = space.places;
    for (int64_t q = first; q < last; ++q) {
      columns.clear();
      places.clear();
      each_match(identities, q, [&](int32_t k) { columns.push_back(k); });
      distances(x + q * dim, gallery, columns, dim, space.values.data());
      for (size_t i = 0; i < columns.size(); ++i)
        places.push_back({in_order(space.values[i]), columns[i]});
      std::sort(places.begin(), places.end());
      for (size_t i = 0; i < places.size(); ++i) {
        column[offset[q] + int64_t(i)] = places[i].column;
        value[offset[q] + int64_t(i)] = places[i].value;
      }
    }
  });
}

template void measure_matches(const Identities&, const float*, const float*, int64_t, int64_t,
                              const int64_t*, int32_t*, double*);
template void measure_matches(const Identities&, const double*, const double*, int64_t, int64_t,
                              const int64_t*, int32_t*, double*);

}  // namespace drsl
