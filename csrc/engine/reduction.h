#pragma once
// What becomes of the losses of the queries.
#include <cstdint>

namespace drsl {

enum class Reduction : int64_t { kNone = 0, kMean = 1, kSum = 2 };

}  // namespace drsl
