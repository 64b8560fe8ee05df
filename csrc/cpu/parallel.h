#pragma once
// Work shared among torch's threads in a fixed way: task t of T takes the t-th range, whatever
// thread runs it, so that sums kept per task repeat bit by bit.
#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <mutex>
#if defined(DRSL_OWN_THREADS)
#include <thread>
#include <vector>
#endif

namespace drsl {

// As many tasks as there are threads, but none with less than `grain` of `work`.
inline int64_t task_count(int64_t work, int64_t grain) {
  const int64_t threads = int64_t(torch::stable::get_num_threads());
  return std::clamp<int64_t>(work / std::max<int64_t>(grain, 1), 1, threads);
}

// run(t) for t in [0, tasks).
template <class F>
void on_threads(int64_t tasks, const F& run) {
#if defined(DRSL_OWN_THREADS)
  // for ThreadSanitizer, which does not see how torch's threads wait for each other
  std::vector<std::thread> threads;
  for (int64_t t = 1; t < tasks; ++t) threads.emplace_back([&run, t] { run(t); });
  run(0);
  for (std::thread& thread : threads) thread.join();
#else
  torch::stable::parallel_for(0, tasks, 1, [&](int64_t first, int64_t last) {
    for (int64_t t = first; t < last; ++t) run(t);
  });
#endif
}

// f(task, begin, end): [0, n) in `tasks` ranges that start at multiples of `unit`. What f throws is
// thrown here, once all have ended, as it was: torch would keep no more of it than that it happened.
template <class F>
void for_tasks(int64_t tasks, int64_t n, int64_t unit, const F& f) {
  const int64_t units = (n + unit - 1) / unit;
  const auto run = [&](int64_t t) {
    const int64_t begin = units * t / tasks * unit,
                  end = std::min(n, units * (t + 1) / tasks * unit);
    if (begin < end) f(t, begin, end);
  };
  if (tasks == 1) return run(0);
  std::exception_ptr thrown;
  std::mutex mutex;
  on_threads(tasks, [&](int64_t t) {
    try {
      run(t);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!thrown) thrown = std::current_exception();
    }
  });
  if (thrown) std::rethrow_exception(thrown);
}

}  // namespace drsl
