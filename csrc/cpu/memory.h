#pragma once
// Workspace. Large blocks ask for huge pages: faulting in 64 MiB by 4 KiB pages takes longer than reading it.
#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>

namespace drsl {

template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(int64_t count) {
    constexpr size_t kHuge = size_t(2) << 20, kLine = 64;
    const size_t bytes = size_t(count < 1 ? 1 : count) * sizeof(T);
    const size_t unit = bytes >= kHuge ? kHuge : kLine;
    data_ = static_cast<T*>(std::aligned_alloc(unit, (bytes + unit - 1) / unit * unit));
    if (!data_) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
    if (unit == kHuge) madvise(data_, bytes, MADV_HUGEPAGE);  // a wish: failing changes nothing but speed
#endif
  }
  Buffer(Buffer&& other) noexcept : data_(other.data_) { other.data_ = nullptr; }
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    return *this;
  }
  ~Buffer() { std::free(data_); }

  T* get() const { return data_; }

 private:
  T* data_ = nullptr;
};

}  // namespace drsl
