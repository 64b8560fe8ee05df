#pragma once
// Between torch and the CUDA runtime. The library links the runtime statically and no CUDA library
// of torch, so that one build loads into every torch, with or without CUDA.
#if defined(DRSL_CUDA_ON_HOST)
#include "cuda/launch.h"
#else
#include <cuda_runtime_api.h>
#include <torch/csrc/stable/accelerator.h>
#endif
#include <torch/csrc/stable/tensor.h>

#include <cstdint>

namespace drsl::cuda {

// Raises a RuntimeError that says what failed and why.
void check(cudaError_t status, const char* what);

// Raises what the launch of a kernel went wrong with. Waits for nothing: errors of a kernel that
// runs are reported by a later call, as CUDA's are.
void check_launch(const char* kernel);

// While it lives, a tensor's device is the current one, and `stream` is torch's
// current stream there.
class DeviceScope {
 public:
  explicit DeviceScope(const torch::stable::Tensor& tensor);
  const cudaStream_t stream;

#if !defined(DRSL_CUDA_ON_HOST)
 private:
  torch::stable::accelerator::DeviceGuard guard_;
#endif
};

// Bytes of shared memory that a block may ask for on the current device: 99 KB on GPUs of compute
// capability 8.6, 8.9 and 12, more on those of data centres.
int64_t most_shared();

// Blocks of a grid for so many pieces of work. Kernels take turns at what goes beyond
// the largest grid.
unsigned grid_blocks(int64_t pieces);

}  // namespace drsl::cuda
