#pragma once
// How a problem is run on a GPU, and where everything lies meanwhile. Decided from shapes alone.
#include <cstdint>

#include "cuda/stages.h"
#include "engine/plan.h"

namespace drsl::cuda {

// A small batch is cut into slices of so many dimensions, so that there are blocks enough.
struct Slices {
  int count;
  int64_t size;
  explicit Slices(const Shape& shape);
};

Plan plan_cuda(const Shape& shape, bool normalize);

// Hands out pieces of one allocation, each at a multiple of 256 bytes. Without memory it only counts.
class Pieces {
 public:
  explicit Pieces(void* base = nullptr) : base_(static_cast<char*>(base)) {}

  template <class N>
  N* take(int64_t count) {
    char* const at = base_ ? base_ + bytes_ : nullptr;
    bytes_ += (count * int64_t(sizeof(N)) + 255) / 256 * 256;
    return reinterpret_cast<N*>(at);
  }
  int64_t bytes() const { return bytes_; }

 private:
  char* base_;
  int64_t bytes_ = 0;
};

// [sets, ..] of all sets unless said otherwise; r and unit rows only where there are any.
template <class T>
struct Workspace {
  Norms<T> x, r;  // of the rows as given
  T *unit_x_rows, *unit_r_rows;
  Norms<T> unit_x, unit_r;  // of the rows of unit length
  T *loss, *terms, *radial;
  int* weighs;
  T* share;  // what a query weighs in the loss

  // small: sums over slices of dimensions, counters
  T *square, *dot;
  unsigned* zeros;

  // of plan.sets sets and plan.block_rows queries
  T *gram, *angular;
  uint32_t* near;
  uint8_t* some;
  T *column_sum, *partial;  // f_k
  T* splits;                // streaming: of redistribute_queries
  void* scratch;

  Workspace(const Shape& shape, const Plan& plan, bool normalize, Pieces& pieces);
};

}  // namespace drsl::cuda
