#include "cuda/runtime.h"

#include <dlfcn.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/headeronly/util/Exception.h>
#include <torch/headeronly/util/shim_utils.h>

#include <algorithm>
#include <limits>

namespace drsl::cuda {
namespace {

using GetStream = AOTITorchError (*)(int32_t device, void** stream);

// Lives in libtorch_cuda.so, which a torch with CUDA has loaded and a torch without does not have.
GetStream find_get_stream() {
  void* const library = dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_NOLOAD);
  if (!library) return nullptr;
  return reinterpret_cast<GetStream>(dlsym(library, "aoti_torch_get_current_cuda_stream"));
}

cudaStream_t current_stream(int32_t device) {
  static const GetStream get_stream = find_get_stream();
  STD_TORCH_CHECK(get_stream != nullptr, "drsl: this torch was built without CUDA");
  void* stream = nullptr;
  TORCH_ERROR_CODE_CHECK(get_stream(device, &stream));
  return static_cast<cudaStream_t>(stream);
}

}  // namespace

void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess) cudaGetLastError();  // told here, and not once more of the next launch
  STD_TORCH_CHECK(status == cudaSuccess, "drsl: ", what, ": ", cudaGetErrorString(status),
                  status == cudaErrorNoKernelImageForDevice
                      ? "; build drsl_cuda with DRSL_CUDA_ARCHS set to this GPU's architecture"
                      : "");
}

void check_launch(const char* kernel) { check(cudaGetLastError(), kernel); }

// torch's guard restores the device without waking one that was not in use. It speaks to torch's
// own CUDA runtime, so ours is told as well.
DeviceScope::DeviceScope(const torch::stable::Tensor& tensor)
    : stream(current_stream(tensor.get_device_index())), guard_(tensor.get_device_index()) {
  check(cudaSetDevice(tensor.get_device_index()), "cudaSetDevice");
}

int64_t most_shared() {
  int device = 0, bytes = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
        "cudaDeviceGetAttribute");
  return bytes;
}

unsigned grid_blocks(int64_t pieces) {
  return unsigned(std::min<int64_t>(pieces, std::numeric_limits<int32_t>::max()));
}

}  // namespace drsl::cuda
