#pragma once
// What prefix sums over a row of scores consist of (block_scan.cuh says what `then` is).
//
// Depths are counted down from the highest edge or positive in units of 2δ; what is wider than a
// ramp is closed to 1, as no ramp reaches across, so that differences of these sums keep their
// digits. Each step down carries its width, and `then` shifts: a moment that is counted from where
// a part begins becomes one from where the whole begins.
#include <cstdint>

#include "cuda/launch.h"

namespace drsl::cuda {

// Over pieces, from the highest down: Σ a, Σ a · depth, and the depth at which the last one begins.
struct PieceSum {
  double amount, moment, depth;

  __device__ __forceinline__ PieceSum then(const PieceSum& next) const {
    return {amount + next.amount, moment + (next.moment + next.amount * depth), depth + next.depth};
  }
};

// Over positives, from the highest down: how many, Σ depth, Σ v, Σ v · depth.
struct PositiveSum {
  double count, moment, value, value_moment;
};
struct PositiveScan {
  PositiveSum sum;
  double depth;

  __device__ __forceinline__ PositiveScan then(const PositiveScan& next) const {
    const PositiveSum &a = sum, &b = next.sum;
    return {{a.count + b.count, a.moment + (b.moment + b.count * depth), a.value + b.value,
             a.value_moment + (b.value_moment + b.value * depth)},
            depth + next.depth};
  }
};

// Over positives, from the lowest up: Σ w, Σ w · depth.
struct WeightSum {
  double weight, moment;

  __device__ __forceinline__ WeightSum then(const WeightSum& next) const {
    return {weight + next.weight, moment + next.moment};
  }
};

// The least of numbers, if there are any.
struct LeastSum {
  double least;
  int64_t any;

  __device__ __forceinline__ LeastSum then(const LeastSum& next) const {
    return next.any && (!any || next.least < least) ? next : *this;
  }
};

}  // namespace drsl::cuda
