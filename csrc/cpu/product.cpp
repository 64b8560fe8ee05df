#include "cpu/product.h"

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>
#include <torch/csrc/stable/tensor.h>

#include "cpu/simd.h"

namespace drsl {
namespace {

// Below this many multiplications, wrapping pointers as tensors takes longer than multiplying.
constexpr int64_t kLibraryFrom = 1 << 15;

template <class T>
torch::stable::Tensor wrap(Matrix<T> m, int64_t rows, int64_t columns) {
  const int64_t sizes[] = {rows, columns}, strides[] = {m.row, m.column};
  const int32_t dtype = sizeof(T) == 4 ? aoti_torch_dtype_float32() : aoti_torch_dtype_float64();
  AtenTensorHandle handle;
  TORCH_ERROR_CODE_CHECK(
      aoti_torch_create_tensor_from_blob(const_cast<T*>(m.data), 2, sizes, strides, 0, dtype,
                                         aoti_torch_device_type_cpu(), 0, &handle));
  return torch::stable::Tensor(handle);
}

// out += a · b with b's rows contiguous, or its columns (then every entry is an inner product).
template <class T>
DRSL_INLINE void multiply(Matrix<T> a, Matrix<T> b, int64_t m, int64_t n, int64_t k, T* out,
                          int64_t leading) {
  for (int64_t i = 0; i < m; ++i) {
    T* to = out + i * leading;
    if (b.row == 1) {
      for (int64_t j = 0; j < n; ++j) {
        T sum = 0;
        const T* x = a.data + i * a.row;
        const T* y = b.data + j * b.column;
        const int64_t step = a.column;
#pragma omp simd reduction(+ : sum)
        for (int64_t l = 0; l < k; ++l) sum += x[l * step] * y[l];
        to[j] += sum;
      }
    } else {
      for (int64_t l = 0; l < k; ++l) {
        const T s = a.data[i * a.row + l * a.column];
        const T* y = b.data + l * b.row;
#pragma omp simd
        for (int64_t j = 0; j < n; ++j) to[j] += s * y[j];
      }
    }
  }
}
DRSL_CLONES void small(Matrix<float> a, Matrix<float> b, int64_t m, int64_t n, int64_t k,
                       float* out, int64_t ld) {
  multiply(a, b, m, n, k, out, ld);
}
DRSL_CLONES void small(Matrix<double> a, Matrix<double> b, int64_t m, int64_t n, int64_t k,
                       double* out, int64_t ld) {
  multiply(a, b, m, n, k, out, ld);
}

}  // namespace

template <class T>
void product(Matrix<T> a, Matrix<T> b, int64_t m, int64_t n, int64_t k, T* out, int64_t leading,
             Into into) {
  const bool contiguous = b.row == 1 || b.column == 1;
  if (m * n * k < kLibraryFrom && contiguous) {
    if (into == Into::kOverwrite)
      for (int64_t i = 0; i < m; ++i)
        for (int64_t j = 0; j < n; ++j) out[i * leading + j] = 0;
    return small(a, b, m, n, k, out, leading);
  }
  const auto x = wrap(a, m, k), y = wrap(b, k, n), z = wrap(Matrix<T>{out, leading, 1}, m, n);
  if (into == Into::kOverwrite) {
    TORCH_ERROR_CODE_CHECK(aoti_torch_cpu_mm_out(z.get(), x.get(), y.get()));
  } else {
    TORCH_ERROR_CODE_CHECK(aoti_torch_cpu_addmm_out(z.get(), z.get(), x.get(), y.get(), 1.0, 1.0));
  }
}

template void product(Matrix<float>, Matrix<float>, int64_t, int64_t, int64_t, float*, int64_t,
                      Into);
template void product(Matrix<double>, Matrix<double>, int64_t, int64_t, int64_t, double*, int64_t,
                      Into);

}  // namespace drsl
