#include "engine/score_tensors.h"

#include <torch/headeronly/util/Exception.h>

#include <limits>

namespace drsl {

ScoreTensors::ScoreTensors(const Tensor& given, const Tensor& target, double delta, Device device,
                           int64_t most)
    : scores(contiguous("scores", given)),
      targets(contiguous("targets", target)),
      sets(given.dim() == 2),
      S(sets ? given.size(0) : 1),
      N(given.dim() ? given.size(-1) : 0) {
  STD_TORCH_CHECK(lies(given, device) && (given.dim() == 1 || given.dim() == 2),
                  "drsl: scores must be [N] or [S, N] on the ", name_of(device));
  STD_TORCH_CHECK(fits(targets, scores, type(), shape_of(scores)),
                  "drsl: targets must have the shape, dtype and device of scores");
  STD_TORCH_CHECK(type() == ScalarType::Float || type() == ScalarType::Double,
                  "drsl: scores must be float32 or float64");
  STD_TORCH_CHECK(N < most, "drsl: too many scores: ", N);
  STD_TORCH_CHECK(delta >= 0 && delta <= std::numeric_limits<double>::max(),
                  "drsl: delta must be finite and >= 0, got ", delta);
}

Tensor ScoreTensors::regression(const Tensor& given) const {
  STD_TORCH_CHECK(
      fits(given, scores, type(), sets ? shape_of(scores) : shape_of(given)) &&
          given.dim() == scores.dim(),
      "drsl: regression_losses must be [n], or [S, N] as scores, in the dtype of scores");
  return contiguous("regression_losses", given);
}

Tensor ScoreTensors::losses() const {
  return empty_beside(scores, sets ? std::vector{S} : std::vector<int64_t>{}, type());
}

Tensor ScoreTensors::like(bool wanted) const {
  return empty_beside(scores, wanted ? shape_of(scores) : std::vector<int64_t>{0}, type());
}

}  // namespace drsl
