#pragma once
// Workspace. A training step wants the same block every time, and a fresh one costs more to fault
// in than to fill: each thread keeps the largest block that it has given back, up to kKept, and
// large blocks ask for huge pages.
#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>

namespace drsl {

struct Block {
  void* data = nullptr;
  size_t bytes = 0;
};

class BlockCache {
 public:
  ~BlockCache() { std::free(kept_.data); }

  Block take(size_t bytes) {
    if (bytes >= kWorthKeeping && kept_.bytes >= bytes && kept_.bytes <= 2 * bytes)
      return std::exchange(kept_, {});
    const size_t unit = bytes >= kHugePage ? kHugePage : kLine;
    Block block{nullptr, (bytes + unit - 1) / unit * unit};
    block.data = std::aligned_alloc(unit, block.bytes);
    if (!block.data && kept_.data) {  // what is kept must not be what is missing
      std::free(std::exchange(kept_, {}).data);
      block.data = std::aligned_alloc(unit, block.bytes);
    }
    if (!block.data) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
    // a wish: failing costs nothing but speed
    if (unit == kHugePage) madvise(block.data, block.bytes, MADV_HUGEPAGE);
#endif
    return block;
  }

  void give_back(Block block) {
    if (block.bytes >= kWorthKeeping && block.bytes <= kKept && block.bytes > kept_.bytes)
      std::swap(block, kept_);
    std::free(block.data);
  }

  static BlockCache& of_this_thread() {
    static thread_local BlockCache cache;
    return cache;
  }

 private:
  static constexpr size_t kLine = 64, kHugePage = size_t(2) << 20;
  // a triangle's whole matrix
  static constexpr size_t kWorthKeeping = size_t(1) << 18, kKept = size_t(144) << 20;
  Block kept_;
};

template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(int64_t count)
      : block_(BlockCache::of_this_thread().take(size_t(count < 1 ? 1 : count) * sizeof(T))) {}
  Buffer(Buffer&& other) noexcept : block_(std::exchange(other.block_, {})) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(block_, other.block_);
    return *this;
  }
  ~Buffer() {
    if (block_.data) BlockCache::of_this_thread().give_back(block_);
  }

  T* get() const { return static_cast<T*>(block_.data); }

 private:
  Block block_;
};

}  // namespace drsl
