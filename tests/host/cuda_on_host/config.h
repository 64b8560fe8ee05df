#pragma once
// What a test chooses.
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <utility>

namespace cuda_on_host {

enum class Order { kForward, kReverse, kShuffle, kWarp };

constexpr std::pair<const char*, Order> kOrders[] = {{"forward", Order::kForward},
                                                     {"reverse", Order::kReverse},
                                                     {"shuffle", Order::kShuffle},
                                                     {"warp", Order::kWarp}};

inline Order order_of(const std::string& name) {
  for (const auto& [known, order] : kOrders)
    if (name == known) return order;
  throw std::runtime_error("cuda_on_host: no such order: " + name);
}

struct Config {
  Order order = Order::kForward;           // the environment's DRSL_HOST_ORDER, if there is one
  uint64_t seed = 1;                       // of kShuffle
  int os_threads = 1;                      // that share the blocks of a launch
  size_t most_shared = size_t(227) << 10;  // bytes of a block, if they are asked for: sm_90, sm_100
  bool checked_launches = false;  // whether each launch has to be followed by cudaGetLastError
};

inline Config& config() {
  static Config chosen = [] {
    Config c;
    if (const char* order = std::getenv("DRSL_HOST_ORDER")) c.order = order_of(order);
    return c;
  }();
  return chosen;
}

// What has happened so far, for those who want to know how fast it was.
struct Counts {
  uint64_t launches = 0, blocks = 0, switches = 0;
};

}  // namespace cuda_on_host
