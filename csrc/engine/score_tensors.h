#pragma once
// What the losses on scores are given: scores and targets [N] or [S, N], of one type, contiguous.
#include <cstdint>
#include <optional>
#include <vector>

#include "engine/tensors.h"

namespace drsl {

struct ScoreTensors {
  Tensor scores, targets;
  bool sets;  // whether there is a leading set dimension
  int64_t S, N;

  // Refuses what does not lie there or fit, and rows of `most` entries or more.
  ScoreTensors(const Tensor& given, const Tensor& target, double delta, Device device,
               int64_t most);

  ScalarType type() const { return scores.scalar_type(); }
  // regression_losses: [n], a number a positive, or as the scores are if they have sets
  Tensor regression(const Tensor& given) const;
  // uninitialised: one number a set; a number a score, or nothing
  Tensor losses() const;
  Tensor like(bool wanted) const;
};

// f(float{}) or f(double{})
template <class F>
void dispatch(const ScoreTensors& given, F f) {
  given.type() == ScalarType::Double ? f(double{}) : f(float{});
}

}  // namespace drsl
