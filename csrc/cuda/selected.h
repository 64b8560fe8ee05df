#pragma once
// Labels, own columns and exclusions of a call on a GPU: tensors → what kernels read. Nothing is looked
// at here, since that would stop the device: a self_index out of range is found by the kernels, and
// counts as −1.
#include <cstdint>
#include <optional>

#include "cuda/stages.h"
#include "engine/arguments.h"

namespace drsl::cuda {

// Keeps the tensors that `get` points into alive.
class Selection {
 public:
  // B queries against G entries. Without gallery_labels the gallery is the batch, and unless
  // self_index says otherwise each query's own copy stands at its own place.
  Selection(int64_t B, int64_t G, const Tensor& labels, const std::optional<Tensor>& gallery_labels,
            const std::optional<Tensor>& self_index, const std::optional<Tensor>& exclude,
            Device device);

  Selected get() const;

 private:
  Tensor labels_;
  std::optional<Tensor> gallery_labels_, self_index_, exclude_;
};

}  // namespace drsl::cuda
