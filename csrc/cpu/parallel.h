#pragma once
// Work shared among torch's threads in a fixed way: task t of T takes the t-th range, whatever
// thread runs it, so that sums kept per task repeat bit by bit.
#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <cstdint>

namespace drsl {

// As many tasks as there are threads, but none with less than `grain` of `work`.
inline int64_t task_count(int64_t work, int64_t grain) {
  const int64_t threads = int64_t(torch::stable::get_num_threads());
  return std::clamp<int64_t>(work / std::max<int64_t>(grain, 1), 1, threads);
}

// f(task, begin, end): [0, n) in `tasks` ranges that start at multiples of `unit`. f must not
// throw.
template <class F>
void for_tasks(int64_t tasks, int64_t n, int64_t unit, const F& f) {
  const int64_t units = (n + unit - 1) / unit;
  const auto run = [&](int64_t t) {
    const int64_t begin = units * t / tasks * unit,
                  end = std::min(n, units * (t + 1) / tasks * unit);
    if (begin < end) f(t, begin, end);
  };
  if (tasks == 1) return run(0);
  torch::stable::parallel_for(0, tasks, 1, [&](int64_t first, int64_t last) {
    for (int64_t t = first; t < last; ++t) run(t);
  });
}

}  // namespace drsl
