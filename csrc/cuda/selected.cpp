#include "cuda/selected.h"

namespace drsl::cuda {
namespace {

// An integer tensor [n] of any width, as int64. The conversion is queued, not waited for.
Tensor integers(const char* name, const Tensor& given, int64_t n, Device device) {
  STD_TORCH_CHECK(lies(given, device) && given.dim() == 1 && given.size(0) == n, "drsl: ", name,
                  " must be [", n, "] on the device of the rows");
  switch (given.scalar_type()) {
    case ScalarType::Long:
      return contiguous(name, given);
    case ScalarType::Int:
    case ScalarType::Short:
    case ScalarType::Char:
    case ScalarType::Byte:
      return contiguous(name, torch::stable::to(given, ScalarType::Long));
    default:
      STD_TORCH_CHECK(false, "drsl: ", name, " must hold integers");
  }
}

template <class T>
const T* data(const Tensor& t) {
  return static_cast<const T*>(t.const_data_ptr());
}

}  // namespace

Selection::Selection(int64_t B, int64_t G, const Tensor& labels,
                     const std::optional<Tensor>& gallery_labels,
                     const std::optional<Tensor>& self_index, const std::optional<Tensor>& exclude,
                     Device device)
    : labels_(integers("labels", labels, B, device)) {
  STD_TORCH_CHECK(gallery_labels || G == B, "drsl: gallery_labels are missing");
  const auto check_device = [&](const char* name, const Tensor& t) {
    STD_TORCH_CHECK(t.get_device_index() == labels.get_device_index(), "drsl: ", name,
                    " must be on the device of labels");
  };
  if (gallery_labels) {
    gallery_labels_ = integers("gallery_labels", *gallery_labels, G, device);
    check_device("gallery_labels", *gallery_labels);
  }
  if (self_index) {
    self_index_ = integers("self_index", *self_index, B, device);
    check_device("self_index", *self_index);
  }
  if (exclude) {
    STD_TORCH_CHECK(lies(*exclude, device) && exclude->scalar_type() == ScalarType::Bool &&
                        exclude->dim() == 2 && exclude->size(0) == B && exclude->size(1) == G,
                    "drsl: exclude must be bool [", B, ", ", G, "] on the device of labels");
    check_device("exclude", *exclude);
    exclude_ = contiguous("exclude", *exclude);
  }
}

Selected Selection::get() const {
  Selected s{};
  s.x_label = data<int64_t>(labels_);
  s.r_label = data<int64_t>(gallery_labels_ ? *gallery_labels_ : labels_);
  s.self_index = self_index_ ? data<int64_t>(*self_index_) : nullptr;
  s.own = !gallery_labels_;
  s.exclude = exclude_ ? data<uint8_t>(*exclude_) : nullptr;
  return s;
}

}  // namespace drsl::cuda
