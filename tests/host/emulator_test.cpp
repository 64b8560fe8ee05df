// Tests of the emulator: small kernels, right ones and ones with a bug planted, by name.
//
//   emulator_test NAME [ORDER]     prints "ok" or "wrong", or what the emulator objects to
//
// test_host_emulator.py says which of them is to give what, and in which order.
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "kernels_planted.h"
#include "kernels_right.h"

namespace {

// Results that are wrong, as opposed to those that the emulator refuses.
bool equal(const std::vector<int>& got, const std::vector<int>& wanted) { return got == wanted; }

std::vector<int> counted(int n, int first = 0) {
  std::vector<int> x(static_cast<size_t>(n));
  std::iota(x.begin(), x.end(), first);
  return x;
}

// out[i] by each thread of one block, against f(i).
template <class Kernel, class F>
bool each_thread(Kernel kernel, int threads, F f) {
  std::vector<int> out(static_cast<size_t>(threads), -7), wanted;
  for (int i = 0; i < threads; ++i) wanted.push_back(f(i));
  DRSL_LAUNCH(kernel, 1, threads, 0, nullptr, out.data());
  return equal(out, wanted);
}

template <class Kernel>
bool sums_rows(Kernel kernel) {
  constexpr int kRows = 37, kColumns = 301;
  const std::vector<int> x = counted(kRows * kColumns);
  std::vector<int> out(kRows), wanted;
  for (int r = 0; r < kRows; ++r)
    wanted.push_back(std::accumulate(&x[r * kColumns], &x[r * kColumns] + kColumns, 0));
  DRSL_LAUNCH(kernel, kRows, kRowThreads, 0, nullptr, x.data(), out.data(), kColumns);
  return equal(out, wanted);
}

template <class Kernel>
bool scans(Kernel kernel) {
  std::vector<int> x = counted(kScanThreads, -20), wanted(x.size()), out(x.size());
  std::inclusive_scan(x.begin(), x.end(), wanted.begin());
  DRSL_LAUNCH(kernel, 1, kScanThreads, kScanThreads * sizeof(int), nullptr, x.data(), out.data());
  return equal(out, wanted);
}

template <class Kernel>
bool transposes(Kernel kernel) {
  constexpr int kRows = 70, kColumns = 45;
  const std::vector<int> x = counted(kRows * kColumns);
  std::vector<int> out(x.size()), wanted(x.size());
  for (int r = 0; r < kRows; ++r)
    for (int c = 0; c < kColumns; ++c) wanted[c * kRows + r] = x[r * kColumns + c];
  DRSL_LAUNCH(kernel, dim3((kColumns + 15) / 16, (kRows + 15) / 16), dim3(16, 16), 0, nullptr,
              x.data(), out.data(), kRows, kColumns);
  return equal(out, wanted);
}

template <class Kernel>
bool stages(Kernel kernel) {  // each of 128 threads reads what another one's late copy brought
  const std::vector<int> x = counted(kStageThreads * 4);
  std::vector<int> out(kStageThreads), wanted;
  for (int i = 0; i < kStageThreads; ++i) wanted.push_back(x[(i + 40) % kStageThreads * 4 + 1]);
  DRSL_LAUNCH(kernel, 1, kStageThreads, 0, nullptr, x.data(), out.data());
  return equal(out, wanted);
}

bool all_collectives() {
  std::vector<int> wrong(1, 0);
  DRSL_LAUNCH(collectives, 2, 96, 0, nullptr, wrong.data());
  return wrong[0] == 0;
}

bool all_atomics() {
  std::vector<unsigned> at(6, 0);
  at[2] = 1000;
  DRSL_LAUNCH(atomics, 3, 50, 0, nullptr, at.data());
  return at == std::vector<unsigned>{150, 149, 0, 1, 150 % 8, 7};
}

bool grid_of_three_dimensions() {
  std::vector<int> out(4 * 3 * 2 * 64, -7);
  DRSL_LAUNCH(numbers_itself, dim3(4, 3, 2), dim3(8, 4, 2), 0, nullptr, out.data());
  return equal(out, counted(int(out.size())));
}

bool host_threads_share_the_blocks() {
  cuda_on_host::config().os_threads = 4;
  return sums_rows(row_sums<true>);
}

// What a launch may ask for.
bool shared(size_t bytes, bool asked) {
  if (asked && cudaFuncSetAttribute(dynamic_bytes, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                    int(bytes)) != cudaSuccess)
    return false;
  DRSL_LAUNCH(dynamic_bytes, 1, 32, bytes, nullptr, bytes, size_t(0));
  return true;
}
bool shared_beyond(size_t bytes) {
  DRSL_LAUNCH(dynamic_bytes, 1, 32, size_t(100), nullptr, size_t(100), bytes);
  return true;
}
bool right_after_wrong() {
  try {
    each_thread(deadlock, 64, [](int i) { return i; });
    return false;
  } catch (const std::exception&) {
  }
  return scans(scan<true>) && all_collectives();
}
bool launches_unchecked() {
  cuda_on_host::config().checked_launches = true;
  std::vector<int> out(32);
  for (int i = 0; i < 2; ++i) DRSL_LAUNCH(barrier_of_all, 1, 32, 0, nullptr, out.data());
  return true;
}
bool launches(dim3 grid, dim3 block) {
  DRSL_LAUNCH(nothing, grid, block, 0, nullptr, 0);
  return true;
}

int itself(int i) { return i; }

const std::map<std::string, std::function<bool()>> kTests = {
    // right
    {"row_sums", [] { return sums_rows(row_sums<true>); }},
    {"scan", [] { return scans(scan<true>); }},
    {"transpose", [] { return transposes(transpose<true>); }},
    {"late_copies", [] { return stages(staged_copies<true, true>); }},
    {"collectives", all_collectives},
    {"atomics", all_atomics},
    {"numbers", grid_of_three_dimensions},
    {"host_threads", host_threads_share_the_blocks},
    {"shared_48K", [] { return shared(48 << 10, false); }},
    {"shared_100K_asked", [] { return shared(100 << 10, true); }},
    {"right_after_wrong", right_after_wrong},
    {"subset_collectives", [] { return each_thread(subset_collectives, 64, subset_sum); }},
    // wrong
    {"row_sums_without_barrier", [] { return sums_rows(row_sums<false>); }},
    {"scan_without_barrier", [] { return scans(scan<false>); }},
    {"transpose_without_barrier", [] { return transposes(transpose<false>); }},
    {"barrier_hidden_by_shuffles",
     [] { return each_thread(behind_shuffles, 64, [](int i) { return (i + 32) % 64; }); }},
    {"copies_without_wait", [] { return stages(staged_copies<false, true>); }},
    {"copies_without_barrier", [] { return stages(staged_copies<true, false>); }},
    {"divergent_barriers", [] { return each_thread(divergent_barriers, 32, itself); }},
    {"early_return", [] { return each_thread(early_return, 64, itself); }},
    {"mask_without_caller", [] { return each_thread(mask_without_caller, 32, itself); }},
    {"masks_differ", [] { return each_thread(masks_differ, 32, itself); }},
    {"collectives_differ", [] { return each_thread(collectives_differ, 32, itself); }},
    {"returned_lane", [] { return each_thread(returned_lane, 32, itself); }},
    {"source_outside_mask", [] { return each_thread(source_outside_mask, 32, itself); }},
    {"missing_lane", [] { return each_thread(missing_lane, 20, itself); }},
    {"deadlock", [] { return each_thread(deadlock, 64, itself); }},
    {"unwritten_static", [] { return each_thread(unwritten_static, 32, itself); }},
    {"unwritten_dynamic", [] { return shared(64, false) && unwritten_dynamic_reads_zero(); }},
    {"beyond_dynamic", [] { return shared_beyond(8); }},
    {"shared_49K", [] { return shared(49 << 10, false); }},
    {"shared_228K", [] { return shared(228 << 10, false); }},
    {"block_of_2048", [] { return launches(1, dim3(32, 64)); }},
    {"grid_of_none", [] { return launches(0, 32); }},
    {"grid_y_65536", [] { return launches(dim3(1, 65536), 32); }},
    {"launches_unchecked", launches_unchecked},
    // only a sanitizer sees these
    {"out_of_bounds", out_of_bounds},
    {"static_out_of_bounds", static_out_of_bounds},
    {"stack_out_of_bounds", [] { return each_thread(stack_out_of_bounds, 32, itself); }},
    {"index_overflow", index_overflow},
    {"misaligned", misaligned},
};

}  // namespace

int main(int argc, char** argv) {
  const auto found = argc > 1 ? kTests.find(argv[1]) : kTests.end();
  if (found == kTests.end()) {
    for (const auto& [name, test] : kTests) std::printf("%s\n", name.c_str());
    return argc > 1;
  }
  try {
    if (argc > 2) cuda_on_host::config().order = cuda_on_host::order_of(argv[2]);
    std::printf("%s\n", found->second() ? "ok" : "wrong");
  } catch (const std::exception& error) {
    std::printf("%s\n", error.what());
  }
}
