#pragma once
// The fused pass of one set: embeddings → losses of the queries and, if wanted, gradients
// of both sides.
#include <cstdint>
#include <string>
#include <vector>

#include "cpu/rows.h"
#include "engine/plan.h"
#include "engine/selection.h"

namespace drsl {

// B queries against G entries; x and r are the same rows where the gallery is the batch.
template <class T>
struct LossTask {
  const Rows<T>*x, *r;
  const Selection* selection;
  const Selection::Counts* counts;  // [B]
  const double* weight;             // [B]
  bool normalize;
  double *loss, *terms;  // [B], [B, 3]
  // [B, D], [G, D], overwritten. Either may be null; grad_r is where the gallery is the batch.
  T *grad_x, *grad_r;
};

template <class T>
void embedding_loss(const Plan& plan, const std::string& loss, const std::vector<double>& params,
                    const LossTask<T>& task);

}  // namespace drsl
