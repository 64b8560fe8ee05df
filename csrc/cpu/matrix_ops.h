#pragma once
// The three stages of the engine on whole matrices, one set at a time: pairwise, rank_sort,
// redistribute as operators of their own. embedding_loss.h runs them fused.
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include "cpu/memory.h"
#include "cpu/rows.h"
#include "engine/plan.h"
#include "engine/selection.h"

namespace drsl {

// distance, cosine [B, G]. &r == &x: the gallery is the batch, and only half is computed.
template <class T>
void pairwise(const Rows<T>& x, const Rows<T>& r, T* distance, T* cosine);

// loss [B], terms [B, 3], grad_distance and grad_cosine [B, G] of each query's own loss.
template <class T>
void rank_sort(const T* distance, const T* cosine, Selection selection, int64_t rows,
               const std::string& loss, const std::vector<double>& params, T* losses, T* terms,
               T* grad_distance, T* grad_cosine);

// Overwrites grad_x [B, D] and grad_r [G, D]; one array where the gallery is the batch.
template <class T>
void redistribute(const Plan& plan, const T* grad_distance, const T* grad_cosine, const T* distance,
                  const T* cosine, const Rows<T>& x, const Rows<T>& r, T* grad_x, T* grad_r);

// A gradient formed in T and left in the type of the input.
template <class T, class In>
class GradientOutput {
 public:
  GradientOutput(In* out, int64_t count) : out_(out), count_(count) {
    if constexpr (!std::is_same_v<T, In>)
      if (out) store_ = Buffer<T>(count);
  }
  T* get() const {
    if constexpr (std::is_same_v<T, In>)
      return out_;
    else
      return out_ ? store_.get() : nullptr;
  }
  void finish() const {
    if constexpr (!std::is_same_v<T, In>)
      for (int64_t k = 0; out_ && k < count_; ++k) out_[k] = In(store_.get()[k]);
  }

 private:
  In* out_;
  int64_t count_;
  Buffer<T> store_;
};

}  // namespace drsl
