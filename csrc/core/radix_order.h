#pragma once
// The order of n floating point keys, ascending and stable, in linear time. No NaN.
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>
#include <vector>

namespace drsl {

template <class T>
class RadixOrder {
 public:
  // order[0..n) becomes the places of the keys from smallest to largest; equal keys
  // keep their order.
  void operator()(int n, const T* key, int* order) {
    digits_.resize(size_t(n));
    next_.resize(size_t(n));
    buffer_.resize(size_t(n));
    for (int i = 0; i < n; ++i) {
      digits_[i] = ascending_bits(key[i]);
      order[i] = i;
    }
    int* from = order;
    int* to = next_.data();
    for (int shift = 0; shift < int(8 * sizeof(Bits)); shift += kDigit) {
      int start[kValues + 1] = {};
      for (int i = 0; i < n; ++i) ++start[(digits_[i] >> shift & (kValues - 1)) + 1];
      // all alike in this digit
      if (start[(digits_[0] >> shift & (kValues - 1)) + 1] == n) continue;
      for (int b = 0; b < kValues; ++b) start[b + 1] += start[b];
      for (int i = 0; i < n; ++i) {
        const int place = start[digits_[i] >> shift & (kValues - 1)]++;
        buffer_[place] = digits_[i];
        to[place] = from[i];
      }
      digits_.swap(buffer_);
      std::swap(from, to);
    }
    if (from != order) std::memcpy(order, from, size_t(n) * sizeof(int));
  }

 private:
  static constexpr int kDigit = 11, kValues = 1 << kDigit;
  using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  std::vector<Bits> digits_, buffer_;
  std::vector<int> next_;

  // unsigned order of the result is the order of x; −0 and +0 are one
  static Bits ascending_bits(T x) {
    x += T(0);
    Bits u;
    std::memcpy(&u, &x, sizeof u);
    constexpr Bits sign = Bits(1) << (8 * sizeof(Bits) - 1);
    return u & sign ? Bits(~u) : u | sign;
  }
};

}  // namespace drsl
