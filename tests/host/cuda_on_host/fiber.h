#pragma once
// Flows of control with stacks of their own that hand over to each other on one host thread, and tell
// AddressSanitizer.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <new>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CUDA_ON_HOST_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define CUDA_ON_HOST_ASAN 1
#endif
#if defined(CUDA_ON_HOST_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace cuda_on_host {

#if defined(CUDA_ON_HOST_ASAN)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif
constexpr size_t kStackBytes = size_t(kSanitized ? 512 : 128) << 10;  // reserved; used as touched
constexpr size_t kEntryBytes = 1024;  // at least as many as a fiber's first function takes

inline void forbid([[maybe_unused]] void* from, [[maybe_unused]] size_t bytes) {
#if defined(CUDA_ON_HOST_ASAN)
  __asan_poison_memory_region(from, bytes);
#endif
}
inline void permit([[maybe_unused]] void* from, [[maybe_unused]] size_t bytes) {
#if defined(CUDA_ON_HOST_ASAN)
  __asan_unpoison_memory_region(from, bytes);
#endif
}

// Where a flow of control that waits will go on.
struct Fiber {
#if defined(__x86_64__)
  void* top = nullptr;  // of its stack, which holds the registers
#else
  ucontext_t context;
#endif
  const void* stack = nullptr;
  size_t stack_bytes = 0;
  void* fake_stack = nullptr;  // AddressSanitizer's
};

#if defined(__x86_64__)
// Registers that a function has to preserve go to this stack, its top to *from; then the same backwards.
extern "C" void cuda_on_host_switch(void** from, void* to);
asm(R"(
.pushsection .text
.weak cuda_on_host_switch
.hidden cuda_on_host_switch
.type cuda_on_host_switch,@function
cuda_on_host_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size cuda_on_host_switch,.-cuda_on_host_switch
.popsection
)");
#endif

// The fiber will begin with entry(), which must not return.
inline void prepare(Fiber& fiber, void (*entry)(), char* stack, size_t bytes) {
  fiber.stack = stack, fiber.stack_bytes = bytes, fiber.fake_stack = nullptr;
  permit(stack + bytes - kEntryBytes,
         kEntryBytes);  // the fiber before did not return from its entry
#if defined(__x86_64__)
  void** top = reinterpret_cast<void**>(stack + bytes);
  *--top = nullptr;  // entry() finds the stack as a call would leave it
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  fiber.top = top;
#else
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = stack;
  fiber.context.uc_stack.ss_size = bytes;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, entry, 0);
#endif
}

// To be called first by a fiber's entry; `from`: where the stack's bounds are noted of the one that
// switched here, if they are not known yet.
inline void begin([[maybe_unused]] Fiber& from) {
#if defined(CUDA_ON_HOST_ASAN)
  const void* stack;
  size_t bytes;
  __sanitizer_finish_switch_fiber(nullptr, &stack, &bytes);
  if (!from.stack) from.stack = stack, from.stack_bytes = bytes;
#endif
}

// Returns when something switches back to `from`; never if it is the last of it.
inline void switch_fibers(Fiber& from, Fiber& to, [[maybe_unused]] bool last = false) {
#if defined(CUDA_ON_HOST_ASAN)
  __sanitizer_start_switch_fiber(last ? nullptr : &from.fake_stack, to.stack, to.stack_bytes);
#endif
#if defined(__x86_64__)
  cuda_on_host_switch(&from.top, to.top);
#else
  swapcontext(&from.context, &to.context);
#endif
#if defined(CUDA_ON_HOST_ASAN)
  __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
#endif
}

// Stacks of a host thread's fibers; they are kept from launch to launch. Below each is a page that
// nobody may touch. They begin at different distances from a page: all tops at the same one would share
// a few lines of the cache.
class Stacks {
 public:
  Stacks() = default;
  Stacks(const Stacks&) = delete;
  Stacks& operator=(const Stacks&) = delete;
  ~Stacks() { release(); }

  void reserve(size_t count) {
    if (count <= count_) return;
    release();
    void* const memory = mmap(nullptr, count * kStackBytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    memory_ = static_cast<char*>(memory), count_ = count;
    for (size_t i = 0; i < count; ++i) mprotect(memory_ + i * kStackBytes, page(), PROT_NONE);
  }
  // After fibers that did not return from all of their functions.
  void forget() { permit(memory_, count_ * kStackBytes); }
  char* stack(size_t i) const { return memory_ + i * kStackBytes + page(); }
  static size_t bytes(size_t i) { return kStackBytes - page() - i % 31 * kShift; }

 private:
  static constexpr size_t kShift = 5 * 64;  // bytes: an odd number of cache lines

  static size_t page() {
    static const size_t bytes = size_t(sysconf(_SC_PAGESIZE));
    return bytes;
  }
  void release() {
    if (!memory_) return;
    forget();
    munmap(memory_, count_ * kStackBytes);
    memory_ = nullptr, count_ = 0;
  }
  char* memory_ = nullptr;
  size_t count_ = 0;
};

}  // namespace cuda_on_host
