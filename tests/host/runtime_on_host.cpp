// cuda/runtime.h where kernels run on host threads, and what Python sets before it calls them.
#include "cuda/runtime.h"

#include <torch/headeronly/util/Exception.h>

#include <algorithm>
#include <cstring>
#include <limits>

namespace drsl::cuda {
namespace {

[[maybe_unused]] const bool kChecked = cuda_on_host::config().checked_launches = true;

}  // namespace

void check(cudaError_t status, const char* what) {
  STD_TORCH_CHECK(status == cudaSuccess, "drsl: ", what, ": ", cudaGetErrorString(status));
}

void check_launch(const char* kernel) { check(cudaGetLastError(), kernel); }

DeviceScope::DeviceScope(const torch::stable::Tensor&) : stream(nullptr) {}

unsigned grid_blocks(int64_t pieces) {
  return unsigned(std::min<int64_t>(pieces, std::numeric_limits<int32_t>::max()));
}

}  // namespace drsl::cuda

#define DRSL_HOST_API extern "C" __attribute__((visibility("default")))

// False if there is no such order.
DRSL_HOST_API bool drsl_host_configure(const char* order, uint64_t seed, int os_threads) {
  for (const auto& [name, value] : cuda_on_host::kOrders) {
    if (std::strcmp(name, order) != 0) continue;
    cuda_on_host::config().order = value;
    cuda_on_host::config().seed = seed;
    cuda_on_host::config().os_threads = os_threads;
    return true;
  }
  return false;
}

// Bytes of shared memory that a block may ask for.
DRSL_HOST_API void drsl_host_most_shared(uint64_t bytes) {
  cuda_on_host::config().most_shared = bytes;
}

DRSL_HOST_API uint64_t drsl_host_launches() { return cuda_on_host::counts().launches; }
DRSL_HOST_API uint64_t drsl_host_switches() { return cuda_on_host::counts().switches; }
