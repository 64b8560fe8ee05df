// gram: see stages.h.
#include "cuda/gram_launch.cuh"
#include "cuda/gram_output.cuh"

namespace drsl::cuda {

template <class E>
void gram(int64_t sets, const Side<E>& x, int64_t first, int64_t count, const Side<E>& r,
          bool symmetric, Accumulator<E>* out, int64_t ld, Products products, cudaStream_t stream) {
  using T = Accumulator<E>;
  GramTask<E> task;
  task.x = x.rows + first * x.dim, task.r = r.rows;
  task.x_stride = x.count * x.dim, task.r_stride = r.count * r.dim;
  task.sets = sets, task.rows = count, task.columns = r.count, task.dim = x.dim;
  task.unit = copy_unit(x.rows, r.rows, x.dim);
  task.symmetric = symmetric;

  GramOutput<T> output;
  output.x_norm = x.norms.norm + first, output.r_norm = r.norms.norm;
  output.x_stride = x.count, output.r_stride = r.count;
  output.out = out, output.ld = ld, output.out_stride = count * ld;
  output.quads = reinterpret_cast<uintptr_t>(out) % 16 == 0 && ld % 4 == 0;
  launch_gram(task, output, products, stream);
}

template void gram(int64_t, const Side<double>&, int64_t, int64_t, const Side<double>&, bool,
                   double*, int64_t, Products, cudaStream_t);
template void gram(int64_t, const Side<float>&, int64_t, int64_t, const Side<float>&, bool, float*,
                   int64_t, Products, cudaStream_t);
template void gram(int64_t, const Side<Half>&, int64_t, int64_t, const Side<Half>&, bool, float*,
                   int64_t, Products, cudaStream_t);
template void gram(int64_t, const Side<BFloat16>&, int64_t, int64_t, const Side<BFloat16>&, bool,
                   float*, int64_t, Products, cudaStream_t);

}  // namespace drsl::cuda
